-- SPDX-License-Identifier: Apache-2.0
-- What links do beside decoding: who is answered what, whose a VIN is, what is published.
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local frame, login = vectors.frame, vectors.login
local VIN, OTHER = "LTEST000000009016", "LTEST000000009017"
local PLATFORM = "TESTPLATFORM00001"
local TIME = vectors.TIME
local VEHICLE = "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18\x12\0"
-- the clock of the runner, 2026-01-02T03:04:05Z, as it is in Beijing
local NOW = string.char(26, 1, 2, 11, 4, 5)

local platform_login

local function report(vin, unit, start, command)
  return frame(start or "##", command or 2, 0xFE, vin, TIME .. (unit or VEHICLE))
end

function platform_login(serial)
  local unit = TIME .. string.pack(">I2", serial or 1) .. ("operator"):rep(1) .. ("\0"):rep(4)
    .. "secret" .. ("\0"):rep(14) .. "\1"
  return frame("##", 5, 0xFE, PLATFORM, unit)
end

--- Each line on connection 1, unless it begins with a command. @return blocks behind the
--- login
local function run(lines, config, first)
  local all = { "open " .. (config and cjson.encode(config) or "{}"), "connect 192.0.2.1:5000" }
  all[#all + 1] = first ~= false and "feed 1 " .. (first or login("##", VIN)) or nil
  local skip = #all
  for _, line in ipairs(lines) do
    all[#all + 1] = line:find "^%x+$" and "feed 1 " .. line or line
  end
  local blocks = offline.run(vectors.path, all)
  return table.move(blocks, skip + 1, #blocks, 1, {}), blocks[3]
end

local function sent(events)
  local out = {}
  for i, e in ipairs(offline.of(events, "send")) do out[i] = e.hex end
  return out
end

local function published(events)
  local out = {}
  for i, e in ipairs(offline.of(events, "publish")) do
    out[i] = { topic = e.topic, kind = e.topic:match "[^/]+$", data = cjson.decode(e.payload) }
  end
  return out
end

local function kinds(events)
  local out = {}
  for i, p in ipairs(published(events)) do out[i] = p.kind end
  return out
end

describe("gbt32960 vehicle links", function()
  it("log in through auth, are answered with the request's time, and published", function()
    local _, events = run {}
    assert.equal(VIN, offline.of(events, "auth")[1].device)
    assert.equal(VIN, offline.of(events, "bind")[1].device)
    assert.same({ frame("##", 1, 1, VIN, TIME) }, sent(events))
    local p = published(events)[1]
    assert.equal("gbt32960/" .. VIN .. "/login", p.topic)
    assert.equal("89860000000000009016", p.data.iccid)
    assert.equal("2024-03-15T08:19:59+08:00", p.data.time)
  end)

  it("answer in the edition of each frame", function()
    local blocks = run { login("$$", VIN, 2), frame("$$", 7, 0xFE, VIN, ""),
      frame("##", 7, 0xFE, VIN, "") }
    assert.same({ frame("$$", 1, 1, VIN, TIME) }, sent(blocks[1]))
    assert.same({ frame("$$", 7, 1, VIN, "") }, sent(blocks[2]))
    assert.same({ frame("##", 7, 1, VIN, "") }, sent(blocks[3]))
  end)

  it("echo what they are told in 2016, with the time of now, if the option says so", function()
    local _, events = run({}, { ack = "echo" })
    local unit = NOW .. string.pack(">I2", 1) .. "89860000000000009016" .. "\0\0"
    assert.same({ frame("##", 1, 1, VIN, unit) }, sent(events))
    local blocks = run({ login("$$", VIN, 2) }, { ack = "echo" })
    assert.same({ frame("$$", 1, 1, VIN, TIME) }, sent(blocks[1]))
    _, events = run({}, { ack = "empty" })
    assert.same({ frame("##", 1, 1, VIN, "") }, sent(events))
  end)

  it("get Beijing's time, wherever the host is", function()
    local blocks = run { frame("##", 8, 0xFE, VIN, "") }
    assert.same({ frame("##", 8, 1, VIN, NOW) }, sent(blocks[1]))
    assert.same({}, published(blocks[1]))
  end)

  it("get no answer to good reports, and an error to bad ones", function()
    local bad = "\2\5\1\1\x5C\x5E"
    local blocks = run { report(VIN), report(VIN, bad),
      report(VIN, VEHICLE:sub(1, -3) .. bad, "$$") }
    assert.same({}, sent(blocks[1]))
    assert.same({ "report" }, kinds(blocks[1]))
    assert.same({ frame("##", 2, 2, VIN, TIME) }, sent(blocks[2]))
    assert.equal("020501015c5e", published(blocks[2])[1].data.rest.data_hex)
    assert.same({ frame("$$", 2, 6, VIN, TIME) }, sent(blocks[3]))
  end)

  it("get answers to all reports, or none, if the option says so", function()
    local blocks = run({ report(VIN) }, { answer_realtime = "always" })
    assert.same({ frame("##", 2, 1, VIN, TIME) }, sent(blocks[1]))
    blocks = run({ report(VIN, "\2\5\1") }, { answer_realtime = "never" })
    assert.same({}, sent(blocks[1]))
  end)

  it("mark what is reissued", function()
    local blocks = run { report(VIN, VEHICLE, "##", 3) }
    local p = published(blocks[1])[1]
    assert.equal("reissue", p.kind)
    assert.is_true(p.data.reissued)
    assert.equal(63.4, p.data.vehicle.speed_kmh)
  end)

  it("may not drown what is live with what is reissued", function()
    local again = report(VIN, VEHICLE, "##", 3)
    local blocks = run({ again .. again .. again .. report(VIN), "advance 1000", again },
      { reissues = 2 })
    assert.same({ "reissue", "reissue", "report" }, kinds(blocks[1]))
    assert.same({ frame("##", 3, 2, VIN, TIME) }, sent(blocks[1]))
    assert.same({ "reissue" }, kinds(blocks[3]))
  end)

  it("publish nothing before a login, and nothing of another VIN", function()
    local blocks = run({ report(VIN), frame("##", 7, 0xFE, VIN, "") }, nil, false)
    assert.same({}, published(blocks[1]))
    assert.same({}, sent(blocks[2]))
    blocks = run { report(OTHER) }
    assert.same({}, published(blocks[1]))
    assert.equal(1, #offline.of(blocks[1], "complain"))
  end)

  it("never answer answers, whatever their flag", function()
    local blocks = run { frame("##", 2, 0x42, VIN, TIME), frame("##", 7, 1, VIN, ""),
      frame("$$", 2, 7, VIN, TIME) }
    for i = 1, 3 do
      assert.same({}, sent(blocks[i]))
      assert.same({ "raw" }, kinds(blocks[i]))
    end
    blocks = run({ frame("##", 6, 1, PLATFORM, TIME .. "\0\1"),
      frame("##", 7, 0xFE, PLATFORM, "") }, nil, platform_login())
    assert.same({}, sent(blocks[1]))
    assert.same({ frame("##", 7, 1, PLATFORM, "") }, sent(blocks[2]))
  end)

  it("of a platform about itself make no vehicle of it", function()
    for _, payload in ipairs { "json", "emqx" } do
      local blocks = run({ report(PLATFORM), report(PLATFORM, "\1\1"),
        report(PLATFORM, nil, nil, 3), frame("##", 4, 0xFE, PLATFORM, TIME .. "\0\1") },
        { payload = payload }, platform_login())
      for i = 1, 4 do
        assert.same({}, sent(blocks[i]))
        assert.equal(1, #offline.of(blocks[i], "complain"))
        for _, e in ipairs(offline.of(blocks[i], "log")) do
          assert.are_not.equal("error", e.level)
        end
      end
    end
  end)

  it("log out with the serial of their login", function()
    local function logout(serial)
      return frame("##", 4, 0xFE, VIN, TIME .. string.pack(">I2", serial))
    end
    local blocks = run { logout(1), report(VIN), login("##", VIN, 2), logout(7) }
    assert.same({ frame("##", 4, 1, VIN, TIME) }, sent(blocks[1]))
    assert.is_nil(published(blocks[1])[1].data.flaws)
    assert.equal(1, #offline.of(blocks[1], "unbind") + #offline.of(blocks[1], "end"))
    assert.same({}, published(blocks[2]))
    assert.same({ "serial_of_another_login" }, published(blocks[4])[1].data.flaws)
  end)

  it("mark logins whose serial does not grow, or refuse them", function()
    local blocks = run { login("##", VIN, 1), login("##", VIN, 2), login("##", VIN, 0) }
    assert.same({ "serial_not_increasing" }, published(blocks[1])[1].data.flaws)
    assert.is_nil(published(blocks[2])[1].data.flaws)
    assert.same({ "serial_out_of_range" }, published(blocks[3])[1].data.flaws)
    blocks = run({ login("##", VIN, 1) }, { serial = "refuse" })
    assert.same({ frame("##", 1, 2, VIN, TIME) }, sent(blocks[1]))
    assert.equal(1, #offline.of(blocks[1], "close"))
  end)

  it("of an older login are closed, but not again and again", function()
    local lines = {}
    for i = 2, 5 do
      lines[#lines + 1] = "connect 192.0.2.1:5000"
      lines[#lines + 1] = ("feed %d %s"):format(i, login("##", VIN, i))
    end
    local blocks = run(lines, { takeovers = 3 })
    assert.equal(1, offline.of(blocks[2], "close")[1].conn)
    assert.same({ frame("##", 1, 1, VIN, TIME) }, sent(blocks[6]))
    assert.same({ frame("##", 1, 3, VIN, TIME) }, sent(blocks[8]))
    assert.equal(5, offline.of(blocks[8], "close")[1].conn)
  end)

  it("end after a long silence", function()
    local blocks = run { "advance 601000" }
    assert.equal(1, #offline.of(blocks[1], "close"))
  end)

  it("pass on what is encrypted or unknown", function()
    local blocks = run { frame("$$", 2, 0xFE, VIN, "\1\2\3", 5),
      frame("##", 0xC0, 0xFE, VIN, "\1\2\3") }
    local p = published(blocks[1])[1]
    assert.equal("raw", p.kind)
    assert.equal("SM4", p.data.encryption)
    assert.equal("010203", p.data.unit_hex)
    assert.same({ frame("$$", 2, 7, VIN, NOW) }, sent(blocks[1]))
    p = published(blocks[2])[1]
    assert.equal("raw", p.kind)
    assert.equal("0xc0", p.data.command)
    assert.same({}, offline.of(blocks[2], "close"))
  end)

  it("close where the VIN is no name", function()
    local blocks = run({ login("##", "LTEST/#+000009016") }, nil, false)
    assert.equal(1, #offline.of(blocks[1], "close"))
    assert.same({}, offline.of(blocks[1], "bind"))
    blocks = run({ login("##", "LTEST00000000901\0") }, { vin = "padded" }, false)
    assert.equal("LTEST00000000901", offline.of(blocks[1], "bind")[1].device)
  end)
end)

describe("gbt32960 platform links", function()
  local function linked(lines, config)
    local blocks = run(lines, config, platform_login())
    return blocks
  end

  it("log in with user and password, which is published nowhere", function()
    local _, events = run({}, nil, platform_login())
    local auth = offline.of(events, "auth")[1]
    assert.equal("operator", auth.user)
    assert.same({ frame("##", 5, 1, PLATFORM, TIME) }, sent(events))
    local e = offline.of(events, "publish")[1]
    assert.equal("gbt32960/" .. PLATFORM .. "/platform_login", e.topic)
    assert.is_nil(e.payload:find "secret")
  end)

  it("carry many VINs, each answered with its own", function()
    local blocks = linked { login("##", VIN), login("$$", OTHER), report(VIN),
      report(OTHER, VEHICLE:sub(1, -3), "$$") }
    assert.same({ frame("##", 1, 1, VIN, TIME) }, sent(blocks[1]))
    assert.same({ frame("$$", 1, 1, OTHER, TIME) }, sent(blocks[2]))
    assert.same({ frame("##", 2, 1, VIN, TIME) }, sent(blocks[3]))
    assert.same({ frame("$$", 2, 1, OTHER, TIME) }, sent(blocks[4]))
    assert.equal("gbt32960/" .. VIN .. "/report", published(blocks[3])[1].topic)
    assert.equal(OTHER, published(blocks[4])[1].data.vin)
  end)

  it("may speak for VINs only that have logged in on them", function()
    local blocks = linked { report(VIN), report(VIN, VEHICLE, "$$") }
    assert.same({}, published(blocks[1]))
    assert.same({ frame("##", 2, 2, VIN, TIME) }, sent(blocks[1]))
    assert.same({ frame("$$", 2, 4, VIN, TIME) }, sent(blocks[2]))
  end)

  it("lose a VIN to a newer login and go on with the others", function()
    local blocks = linked { login("##", VIN), login("##", OTHER), "connect 192.0.2.2:5000",
      "feed 2 " .. login("##", VIN, 2), report(VIN), report(OTHER), "feed 2 " .. report(VIN) }
    assert.same({}, published(blocks[5]))
    assert.same({ "report" }, kinds(blocks[6]))
    assert.same({ "report" }, kinds(blocks[7]))
  end)

  it("have a bound on their vehicles", function()
    local blocks = linked({ login("##", VIN), login("##", OTHER), report(VIN) },
      { max_vehicles = 1 })
    assert.same({ frame("##", 1, 2, OTHER, TIME) }, sent(blocks[2]))
    assert.same({ "report" }, kinds(blocks[3]))
  end)

  it("end with their logout, for all their vehicles", function()
    local logout = frame("##", 6, 0xFE, PLATFORM, TIME .. "\0\1")
    local blocks = linked { login("##", VIN), logout, report(VIN) }
    assert.same({ frame("##", 6, 1, PLATFORM, TIME) }, sent(blocks[2]))
    assert.same({ "platform_logout" }, kinds(blocks[2]))
    assert.same({}, published(blocks[3]))
  end)

  it("are refused where only vehicles are taken, and vehicles where only platforms are", function()
    local blocks = run({ platform_login() }, { links = "vehicle" }, false)
    assert.same({ frame("##", 5, 2, PLATFORM, TIME) }, sent(blocks[1]))
    assert.equal(1, #offline.of(blocks[1], "close"))
    blocks = run({ login("##", VIN) }, { links = "platform" }, false)
    assert.same({ frame("##", 1, 2, VIN, TIME) }, sent(blocks[1]))
  end)
end)

describe("gbt32960 cells in parts", function()
  local function part(first, n, total)
    return "\8\1\1" .. string.pack(">I2I2I2I2B", 7820, 9870, total or 350, first, n)
      .. string.pack(">I2", 3300 + first):rep(n - 1) .. "\xFF\xFF"
  end

  it("become one list", function()
    local blocks = run { report(VIN, VEHICLE .. part(1, 200)), report(VIN, part(201, 150)) }
    assert.same({ "report" }, kinds(blocks[1]))
    local item = published(blocks[1])[1].data.storage_voltages.items[1]
    assert.is_nil(item.cell_voltages_v)
    assert.equal(200, item.cell_count)
    assert.same({ "report", "cells" }, kinds(blocks[2]))
    local pack = published(blocks[2])[2].data
    assert.equal(350, #pack.cell_voltages_v)
    assert.equal(3.301, pack.cell_voltages_v[1])
    assert.equal(3.501, pack.cell_voltages_v[201])
    assert.same({ "cell_voltages_v[199]", "cell_voltages_v[349]" }, pack.invalid)
    assert.equal(cjson.null, pack.cell_voltages_v[200])
  end)

  it("begin anew when a part comes again, and wait not for ever", function()
    local one, two = report(VIN, part(1, 200)), report(VIN, part(201, 150))
    local blocks = run { one, one, two, one, "advance 6000", two, one }
    assert.same({ "report", "cells" }, kinds(blocks[3]))
    assert.same({ "report" }, kinds(blocks[6]))
    assert.same({ "report", "cells" }, kinds(blocks[7]))
  end)

  it("are passed on if the option says so", function()
    local blocks = run({ report(VIN, part(201, 150)) }, { cells = "pass" })
    local item = published(blocks[1])[1].data.storage_voltages.items[1]
    assert.equal(150, #item.cell_voltages_v)
    assert.equal(201, item.first_cell)
  end)
end)

describe("gbt32960 edge cases", function()
  it("give what is expected of them", function()
    local seen = 0
    for line in io.lines "spec/data/gbt32960_edge.jsonl" do
      local v = cjson.decode(line)
      local vin = vectors.unhex(v.hex):sub(5, 21)
      local config = v.expect.ack and { answer_realtime = "always" } or nil
      local blocks = run({ v.hex }, config, login("##", vin))
      if v.expect.ack then
        local time = vectors.unhex(v.expect.ack.data)
        assert.same({ frame("##", v.expect.ack.cmd, v.expect.ack.ack, vin, time) }, sent(blocks[1]))
      elseif v.expect.published then
        assert.equal(v.expect.published.unit.hex, published(blocks[1])[1].data.unit_hex)
        assert.same({}, offline.of(blocks[1], "close"))
      else
        assert.equal(#v.expect.frames, #offline.of(blocks[1], "message"), v.id)
        assert.same({}, offline.of(blocks[1], "close"))
      end
      if v.name == "fault_code_32bit" then
        assert.same({ "12345678" }, published(blocks[1])[1].data.alarm.storage_faults)
      end
      seen = seen + 1
    end
    assert.equal(5, seen)
  end)
end)
