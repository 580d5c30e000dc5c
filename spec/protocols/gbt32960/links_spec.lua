-- SPDX-License-Identifier: Apache-2.0
-- Who comes and goes on a link: replays, activations, keys, silence, and what a vehicle's frames
-- are worth.
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local frame = vectors.frame
local VIN, OTHER, PLATFORM = "LTEST000000009016", "LTEST000000009017", "TESTPLATFORM00001"
local TIME = vectors.TIME
local NOW = string.char(26, 1, 2, 11, 4, 5) -- of the runner, in Beijing
local VEHICLE = "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18\x12\0"
local ENGINE25 = "\4\0\1"

local function login(serial, time, vin)
  return frame("##", 1, 0xFE, vin or VIN, (time or TIME) .. string.pack(">I2", serial)
    .. "89860000000000009016\0\0")
end

local function report(unit, time, command, start)
  return frame(start or "##", command or 2, 0xFE, VIN, (time or NOW) .. (unit or VEHICLE))
end

local PLATFORM_LOGIN = frame("##", 5, 0xFE, PLATFORM, TIME .. "\0\1operator\0\0\0\0secret"
  .. ("\0"):rep(14) .. "\1")

--- Hex goes to connection 1. @return the events of each line
local function run(lines, config)
  local all = { "open " .. cjson.encode(config or {}), "connect 192.0.2.1:5000" }
  if not config then all[1] = "open {}" end
  for i, line in ipairs(lines) do all[i + 2] = line:find "^%x+$" and "feed 1 " .. line or line end
  local blocks = offline.run(vectors.path, all)
  return table.move(blocks, 3, #blocks, 1, {})
end

local function sent(events)
  local out = {}
  for i, e in ipairs(offline.of(events, "send")) do out[i] = e.hex end
  return out
end

local function told(events)
  local out = {}
  for i, e in ipairs(offline.of(events, "publish")) do
    out[i] = cjson.decode(e.payload)
    out[i].kind = e.topic:match "[^/]+$"
  end
  return out
end

local function down(vin, name, args)
  return ("deliver %s gbt32960/%s/down 1 %s"):format(vin, vin,
    cjson.encode { command = name, args = args })
end

describe("gbt32960 logins that are replayed", function()
  local yesterday = string.char(24, 3, 14, 23, 0, 0)
  local tomorrow = string.char(24, 3, 16, 0, 0, 0)

  it("are told from new ones by their day and serial", function()
    local blocks = run { login(5), login(9, yesterday), login(5), login(1, tomorrow), login(6) }
    for i, flaws in ipairs { false, { "serial_not_increasing" }, { "serial_not_increasing" },
      false, { "serial_not_increasing" } } do
      assert.same(flaws or nil, told(blocks[i])[1].flaws)
    end
  end)

  it("are refused where the option says so", function()
    local blocks = run({ login(5), "connect 192.0.2.1:5000", "feed 2 " .. login(9, yesterday) },
      { serial = "refuse" })
    assert.same({ frame("##", 1, 2, VIN, yesterday) }, sent(blocks[3]))
    assert.equal(1, #offline.of(blocks[3], "close"))
  end)
end)

describe("gbt32960 activations", function()
  local unit = TIME .. "CHIP000000000001" .. string.pack(">s2", "KEY") .. VIN
    .. "\2" .. string.pack(">s2s2", "sign", "")
  local activation = frame("$$", 9, 0xFE, VIN, unit)

  it("come before any login, and their result goes down on their link", function()
    local blocks = run { activation, report(ENGINE25, nil, nil, "$$"),
      down(VIN, "activation_result", { status = "failed", info = "vin_duplicate" }),
      frame("$$", 1, 0xFE, VIN, TIME .. "\0\1" .. "89860000000000009016\0"),
      report(ENGINE25, nil, nil, "$$") }
    local got = told(blocks[1])[1]
    assert.equal("activation", got.kind)
    assert.equal("CHIP000000000001", got.chip_id)
    assert.equal("4b4559", got.key)
    assert.equal(VIN, offline.of(blocks[1], "auth")[1].device)
    assert.same({}, sent(blocks[1]))
    assert.same({}, told(blocks[2])) -- a report before the login
    assert.same({ frame("$$", 0x0A, 0xFE, VIN, "\2\2") }, sent(blocks[3]))
    assert.same({ frame("$$", 1, 1, VIN, TIME) }, sent(blocks[4]))
    assert.equal("report", told(blocks[5])[1].kind)
  end)

  it("that name another VIN than their frame does are marked", function()
    local other = unit:gsub(VIN, OTHER)
    local got = told(run({ frame("$$", 9, 0xFE, VIN, other) })[1])[1]
    assert.equal(VIN, got.vin)
    assert.equal(OTHER, got.unit_vin)
    assert.same({ "another VIN in the unit than in the header" }, got.flaws)
  end)
end)

describe("gbt32960 key exchanges", function()
  local unit = "\5" .. string.pack(">s2", "0123456789abcdef") .. TIME .. NOW

  it("are answered, and their key is published where the option says so alone", function()
    local lines = { login(1), frame("$$", 0x0B, 0xFE, VIN, unit) }
    for _, open in ipairs { false, true } do
      local blocks = run(lines, { publish_keys = open })
      local got = told(blocks[2])[1]
      assert.same({ frame("$$", 0x0B, 1, VIN, NOW) }, sent(blocks[2]))
      assert.equal("key_exchange", got.kind)
      assert.equal("SM4", got.key_type)
      assert.equal("2024-03-15T08:19:59+08:00", got.enable_time)
      assert.equal("2026-01-02T11:04:05+08:00", got.expiry_time)
      assert.equal(open and vectors.hex "0123456789abcdef" or nil, got.key)
      assert.equal(not open and 16 or nil, got.key_length)
    end
  end)
end)

describe("gbt32960 links of platforms", function()
  it("end with their connection alone, and all their vehicles with them", function()
    local blocks = run({ PLATFORM_LOGIN, login(1), login(1, nil, OTHER), "advance 3600000",
      "hangup 1", "connect 192.0.2.1:5000", "feed 2 " .. login(2),
      "connect 192.0.2.1:5000", "feed 3 " .. login(2, nil, OTHER) }, { takeovers = 1 })
    assert.same({}, offline.of(blocks[4], "close"))
    for _, i in ipairs { 7, 9 } do -- no owner was left: neither is a takeover
      assert.equal(1, vectors.unhex(sent(blocks[i])[1]):byte(4))
      assert.same({}, offline.of(blocks[i], "close"))
    end
  end)
end)

describe("gbt32960 reports of 2025", function()
  it("say whether they are signed", function()
    local signature = "\xFF\2" .. string.pack(">s2s2", "sign", "")
    local blocks = run { login(1), report(ENGINE25, nil, nil, "$$"),
      report(ENGINE25, nil, nil, "$$"), report(ENGINE25 .. signature, nil, nil, "$$"),
      report(ENGINE25 .. "\2\xFE", nil, nil, "$$"), report() }
    for i, signed in pairs { [2] = false, [3] = false, [4] = true, [5] = false } do
      assert.equal(signed, told(blocks[i])[1].signed, i)
    end
    assert.is_nil(told(blocks[6])[1].signed)
  end)
end)

describe("gbt32960 reports without blocks", function()
  it("have their time, and nothing is wrong with them", function()
    local blocks = run { login(1), report(""), report("", nil, nil, "$$"),
      frame("##", 2, 0xFE, VIN, NOW:sub(1, 5)) }
    for i = 2, 3 do
      local got = told(blocks[i])[1]
      assert.equal("2026-01-02T11:04:05+08:00", got.time)
      assert.is_nil(got.flaws)
      assert.same({}, sent(blocks[i]))
    end
    assert.equal(2, vectors.unhex(sent(blocks[4])[1]):byte(4)) -- less than its time is none
  end)
end)

describe("gbt32960 quality", function()
  it("counts frames and marks of a vehicle, and times what is live alone", function()
    local marked = "\1\1\3\1\xFF\xFE\0\2\xDB\x63\x0D\xE9\xFF\xFF\xFF\1\x2E\x10\x18\x12\0"
    local blocks = run { login(1, NOW), report(marked), "advance 10000",
      report((VEHICLE:gsub("\x47", "\x7F"))), "advance 3000", report(nil, TIME, 3),
      "advance 2000", frame("##", 7, 0xFE, VIN, ""), report("\2\5\1"), down(VIN, "quality") }
    local q = told(blocks[#blocks])[1]
    assert.equal("quality", q.kind)
    for name, value in pairs { frames = 6, reports = 3, reissued = 1, errors = 1, abnormal = 1,
      invalid = 2, flaws = 2, checksum_errors = 0, gap_ms = 5000, gap_max_ms = 10000,
      clock_offset_ms = -15000 } do
      assert.equal(value, q[name], name)
    end
  end)
end)
