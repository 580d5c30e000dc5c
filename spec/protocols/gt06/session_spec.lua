-- SPDX-License-Identifier: Apache-2.0
-- What a connection does beside decoding: who may speak, what is published, commands down.
local cjson = require "cjson"
local offline = require "support.offline"

local PATH = "protocols/gt06"
local IMEI = "865012345678901"
local LOGIN = "78780d0108650123456789010001e7d80d0a"
local BEAT = "78780a1346060400020002b8f40d0a"
local POSITION = "78781f121a06010c0200c90359c4c00d085ff428147801cc001a2b00c3d4000373b90d0a"

--- Runs commands on a connection that is logged in unless told otherwise.
local function run(commands, options)
  options = options or {}
  local all = { "open " .. (options.config or "{}"), "connect 192.0.2.1:5000" }
  if options.login ~= false then all[3] = "feed 1 " .. LOGIN end
  local skip = #all
  for _, c in ipairs(commands) do all[#all + 1] = c end
  local blocks = offline.run(PATH, all)
  return table.move(blocks, skip + 1, #blocks, 1, {}), blocks
end

local function payload(event)
  return cjson.decode(event.payload)
end

local function published(events)
  local out = {}
  for _, e in ipairs(offline.of(events, "publish")) do
    out[#out + 1] = { e.topic:match "[^/]+$", payload(e) }
  end
  return out
end

local function down(command, args)
  return ("deliver %s gt06/%s/down 1 %s"):format(IMEI, IMEI,
    cjson.encode { command = command, args = args })
end


local function crc_x25(bytes)
  local crc = 0xFFFF
  for i = 1, #bytes do
    crc = crc ~ bytes:byte(i)
    for _ = 1, 8 do crc = crc & 1 == 1 and (crc >> 1) ~ 0x8408 or crc >> 1 end
  end
  return crc ~ 0xFFFF
end

local function unhex(hex)
  return (hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function reply_frame(flag, text)
  local content = unhex(flag) .. text
  local body = string.pack(">BB", 5 + 1 + #content + 2, 0x15) .. string.pack(">B", #content)
    .. content .. "\0\2" .. "\0\9"
  local frame = "xx" .. body .. string.pack(">I2", crc_x25(body)) .. "\r\n"
  return (frame:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("gt06 login", function()
  it("asks auth, binds the device, answers and publishes", function()
    local blocks = run({ "feed 1 " .. LOGIN }, { login = false })
    assert.equal(IMEI, offline.of(blocks[1], "auth")[1].device)
    assert.equal(IMEI, offline.of(blocks[1], "bind")[1].device)
    assert.equal("787805010001d9dc0d0a", offline.of(blocks[1], "send")[1].hex)
    assert.equal("gt06/" .. IMEI .. "/login", offline.of(blocks[1], "publish")[1].topic)
  end)

  it("of the same device again is answered without a second session", function()
    local blocks = run { "feed 1 " .. LOGIN }
    assert.same({}, offline.of(blocks[1], "auth"))
    assert.equal(1, #offline.of(blocks[1], "send"))
  end)

  it("of another device binds the connection to that one", function()
    local other = "78780d01012345678901234500018cdd0d0a"
    local blocks = run { "feed 1 " .. other, "feed 1 " .. BEAT }
    assert.equal("123456789012345", offline.of(blocks[1], "bind")[1].device)
    assert.equal("gt06/123456789012345/heartbeat", offline.of(blocks[2], "publish")[1].topic)
  end)

  it("gives bike locks the longer answer", function()
    local blocks = run({ "feed 1 " .. LOGIN },
      { login = false, config = '{"login_answer":"long"}' })
    assert.equal("78780c011a0102030405000001", offline.of(blocks[1], "send")[1].hex:sub(1, 26))
  end)

  it("is needed before anything is published or answered", function()
    local blocks = run({ "feed 1 " .. BEAT .. POSITION }, { login = false })
    assert.same({}, offline.of(blocks[1], "publish"))
    assert.same({}, offline.of(blocks[1], "send"))
    assert.equal(2, #offline.of(blocks[1], "complain"))
  end)
end)

describe("gt06 positions", function()
  it("say when they came, and ACC as the last heartbeat had it", function()
    local blocks = run { "feed 1 " .. POSITION, "feed 1 " .. BEAT .. POSITION }
    local first, second = published(blocks[1])[1][2], published(blocks[2])[2][2]
    assert.equal("2026-01-02T03:04:05Z", first.received)
    assert.is_nil(first.acc)
    assert.is_true(second.acc)
  end)

  it("from the future are marked", function()
    local blocks = run { "feed 1 " .. POSITION }
    assert.same({ "time_in_future" }, published(blocks[1])[1][2].flaws)
  end)

  it("are the same by the short way to JSON and by the long one", function()
    local zone = "787811010865012345678901700032020001a2040d0a" -- +08:00
    local blocks = run({ "feed 1 " .. zone .. POSITION }, { login = false })
    assert.equal("2026-06-01T04:02:00Z", published(blocks[1])[2][2].time)
  end)

  it("follow the clock option", function()
    local zone = "787811010865012345678901700032020001a2040d0a"
    local utc = "787822221a06010c020ac90359c8f80d0862c429147601cc001a2b00c3d4010000000406520d0a"
    local function times(clock)
      local blocks = run({ "feed 1 " .. zone .. POSITION .. utc },
        { login = false, config = ('{"clock":"%s"}'):format(clock) })
      local all = published(blocks[1])
      return { all[2][2].time, all[3][2].time }
    end
    assert.same({ "2026-06-01T04:02:00Z", "2026-06-01T12:02:10Z" }, times "auto")
    assert.same({ "2026-06-01T12:02:00Z", "2026-06-01T12:02:10Z" }, times "utc")
    assert.same({ "2026-06-01T04:02:00Z", "2026-06-01T04:02:10Z" }, times "login")
    assert.same({ "2026-06-01T16:32:00Z", "2026-06-01T12:02:10Z" }, times "-04:30")
  end)
end)

describe("gt06 commands", function()
  local function states(blocks)
    local out = {}
    for _, events in ipairs(blocks) do
      for _, p in ipairs(published(events)) do
        if p[1] == "command" then out[#out + 1] = p[2].state .. " " .. p[2].text end
      end
    end
    return out
  end

  --- Flags count up from the clock of the runner.
  local FIRST = ("%08x"):format((1767323045000 + 1) & 0x7FFFFFFF)
  local SECOND = ("%08x"):format((1767323045000 + 2) & 0x7FFFFFFF)

  it("go down, and their reply is matched by its flag among other frames", function()
    local blocks = run {
      down("send", { text = "STATUS#" }),
      "feed 1 " .. POSITION .. reply_frame("01020304", "not ours") .. reply_frame(FIRST, "OK"),
    }
    local sent = offline.of(blocks[1], "send")[1].hex
    assert.equal("7878118" .. "00b" .. FIRST, sent:sub(1, 18))
    assert.equal("STATUS#", unhex(sent:sub(19, 32)))
    assert.same({ "sent STATUS#", "replied STATUS#" }, states(blocks))
    local kinds = published(blocks[2])
    assert.equal("location", kinds[1][1])
    assert.equal("reply", kinds[2][1])
    assert.equal("not ours", kinds[2][2].text)
    assert.equal("OK", kinds[3][2].reply)
  end)

  it("carry what their sender calls them, whatever becomes of them", function()
    local function named(command, args, id)
      return ("deliver %s gt06/%s/down 1 %s"):format(IMEI, IMEI,
        cjson.encode { command = command, args = args, id = id })
    end
    local blocks = run { named("status", {}, "a"), named("where", {}, "b"),
      named("send", {}, "c"), named("relay", { cut = true }, "d"), named("explode", {}, "e"),
      "feed 1 " .. reply_frame(FIRST, "OK"), "advance 10", "hangup 1", "advance 10" }
    local told = {}
    for _, events in ipairs(blocks) do
      for _, p in ipairs(published(events)) do
        told[#told + 1] = p[2].state .. " " .. tostring(p[2].correlation_id)
      end
      for _, e in ipairs(offline.of(events, "log")) do assert.are_not.equal("error", e.level) end
    end
    assert.same({ "sent a", "queued b", "refused c", "refused d", "refused e", "replied a",
      "sent b", "failed b" }, told)
  end)

  it("are told by name and text in each state", function()
    local blocks = run { down("relay", { cut = false }), down("where"),
      down("address", { text = "here" }), down("address", { text = 7 }), down("send", {}),
      "hangup 1", "advance 10" }
    local told = {}
    for _, events in ipairs(blocks) do
      for _, p in ipairs(published(events)) do
        told[#told + 1] = ("%s %s %s"):format(p[2].state, p[2].command, p[2].text)
      end
    end
    assert.same({ "sent relay Relay,0#", "queued where WHERE#", "sent address here",
      "refused address nil", "refused send nil", "failed relay Relay,0#", "failed where WHERE#" },
      told)
  end)

  it("wait for each other", function()
    local blocks = run {
      down("send", { text = "STATUS#" }), down("where", {}),
      "feed 1 " .. reply_frame(FIRST, "fine"), "advance 10",
      "feed 1 " .. reply_frame(SECOND, "here"),
    }
    assert.same({ "sent STATUS#", "queued WHERE#", "replied STATUS#", "sent WHERE#",
      "replied WHERE#" }, states(blocks))
    assert.same({}, offline.of(blocks[2], "send"))
    assert.equal(1, #offline.of(blocks[4], "send"))
  end)

  it("time out, and the next one is sent", function()
    local blocks = run { down("status", {}), down("where", {}), "advance 61000", "advance 1000" }
    local all = states(blocks)
    assert.same({ "sent STATUS#", "queued WHERE#", "timed_out STATUS#", "sent WHERE#" }, all)
  end)

  it("of a device that hangs up have failed, and so have those behind them", function()
    local blocks = run { down("status", {}), down("where", {}), "hangup 1", "advance 10" }
    assert.same({ "sent STATUS#", "queued WHERE#", "failed STATUS#", "failed WHERE#" },
      states(blocks))
  end)

  it("that cut the engine need the device to be listed", function()
    local blocks = run { down("relay", { cut = true }), down("send", { text = "dyd,000000#" }),
      down("relay", { cut = false }) }
    assert.same({ "refused Relay,1#", "refused dyd,000000#", "sent Relay,0#" }, states(blocks))
    assert.equal(1, #offline.of(blocks[1], "complain"))
    blocks = run({ down("relay", { cut = true }) },
      { config = ('{"allow_cut":["%s"],"cut_dialect":"dyd"}'):format(IMEI) })
    assert.same({ "sent DYD,000000#" }, states(blocks))
  end)

  it("carry a language word if the model wants one", function()
    local blocks = run({ down("send", { text = "sos#" }) },
      { config = '{"command_language":"en"}' })
    local sent = unhex(offline.of(blocks[1], "send")[1].hex)
    assert.equal("sos#\0\2", sent:sub(10, 15))
    assert.equal(16, sent:byte(3))
  end)

  it("without a text are refused", function()
    local blocks = run { down("send", {}) }
    assert.same({}, offline.of(blocks[1], "send"))
    assert.equal(1, #offline.of(blocks[1], "complain"))
    assert.matches('"state":"refused"', offline.of(blocks[1], "publish")[1].payload, 1, true)
  end)

  it("send addresses as the papers print them", function()
    local want = 0
    for _, v in ipairs(dofile("spec/protocols/gt06/vectors.lua").load()) do
      local f = v.expect.fields
      if v.dir == "down" and (v.msg == "0x17" or v.msg == "0x97") and v.kind == "valid" then
        local blocks = run { down("address",
          { text = f.address, phone = f.phone, chinese = v.msg == "0x17" }) }
        local sent = offline.of(blocks[1], "send")[1].hex
        -- all but serial and checksum, which are the request's
        assert.equal(v.hex:sub(1, -13), sent:sub(1, -13), v.name)
        want = want + 1
      end
    end
    assert.equal(2, want)
  end)
end)

describe("gt06 connections", function()
  it("end after a long silence", function()
    local blocks = run { "advance 901000" }
    assert.equal("IDLE", offline.of(blocks[1], "close")[1].reason
      or offline.of(blocks[1], "close")[1].code)
  end)

  it("outlive garbage, and say so once for each piece", function()
    local blocks = run { "feed 1 474554202f", "feed 1 " .. BEAT }
    assert.equal(1, #offline.of(blocks[2], "publish"))
  end)
end)
