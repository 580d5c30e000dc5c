-- SPDX-License-Identifier: Apache-2.0
-- Commands down: what is sent, when it is sent again, how answers find them, what is told.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local PATH = "protocols/jt808"
local DEVICE = "013800138000"

local function feed(id, body, o)
  return "feed 1 " .. terminal.hex(terminal.frame(id, body, o))
end

local function down(command, args, id, ttl)
  return ("deliver %s jt808/%s/down 1 %s"):format(DEVICE, DEVICE,
    cjson.encode { command = command, args = args, id = id, ttl = ttl })
end

--- The terminal's serial down is 1 for the first command: 0 answered the login.
local function run(commands, config, v2019)
  local login = v2019 and "\4code" .. ("i"):rep(15) .. ("v"):rep(20) or "code"
  local all = { "open " .. (config or "{}"), "connect 192.0.2.1:5000",
    feed(0x0102, login, { serial = 900, v2019 = v2019 }) }
  for _, c in ipairs(commands) do all[#all + 1] = c end
  local blocks = offline.run(PATH, all)
  return table.move(blocks, 4, #blocks, 1, {})
end

local function answer(serial, id, result, own)
  return feed(0x0001, string.pack(">I2I2B", serial, id, result), { serial = own or serial + 100 })
end

--- Fates in order: "state command".
local function fates(blocks)
  local out = {}
  for _, events in ipairs(blocks) do
    for _, p in ipairs(terminal.published(events)) do
      if p[1] == "command" then out[#out + 1] = p[2].state .. " " .. tostring(p[2].command) end
    end
  end
  return out
end

local function ids(blocks)
  local out = {}
  for i, events in ipairs(blocks) do
    for _, f in ipairs(terminal.sent(events)) do
      out[#out + 1] = i .. ":" .. ("%04x"):format(f.id)
    end
  end
  return out
end

describe("jt808 commands", function()
  it("are acknowledged by the general answer, with the caller's id", function()
    local blocks = run { down("text", { text = "测试" }, "job-7"), answer(1, 0x8300, 0) }
    local sent = terminal.sent(blocks[1])[1]
    assert.equal("\12\xB2\xE2\xCA\xD4", sent.body)
    assert.same({ "sent text", "acked text" }, fates(blocks))
    assert.equal("job-7", terminal.published(blocks[2])[1][2].id)
  end)

  it("are refused by the terminal with its reason", function()
    local blocks = run { down("check_link", {}), answer(1, 0x8204, 3) }
    assert.same({ "sent check_link", "refused check_link" }, fates(blocks))
    local fate = terminal.published(blocks[2])[1][2]
    assert.equal("not supported", fate.reason)
    assert.equal(3, fate.result)
  end)

  it("go out again after T, 2T and 6T with the same serial, and expire", function()
    local blocks = run { down("check_link", {}), "advance 10001", "advance 19000", "advance 2000",
      "advance 58000", "advance 2000" }
    assert.same({ "1:8204", "2:8204", "4:8204" }, ids(blocks))
    for _, i in ipairs { 1, 2, 4 } do assert.equal(1, terminal.sent(blocks[i])[1].serial) end
    assert.same({ "sent check_link", "expired check_link" }, fates(blocks))
    assert.equal(1, #terminal.published(blocks[6]))
  end)

  it("that have an answer of their own wait for it behind the receipt", function()
    local blocks = run { down("query_parameters", {}), answer(1, 0x8104, 0), "advance 30000",
      feed(0x0104, string.pack(">I2BI4BI4", 1, 1, 1, 4, 60), { serial = 5 }) }
    assert.same({ "1:8104" }, ids(blocks)) -- not again once it was confirmed
    assert.same({ "sent query_parameters", "acked query_parameters" }, fates(blocks))
    local all = terminal.published(blocks[4])
    assert.equal("parameters", all[1][1])
    assert.equal(60, all[1][2].parameters.heartbeat_interval)
  end)

  it("of which two wait get their answers in order, where those have no serial", function()
    local attributes = string.pack(">I2", 1) .. "abcde" .. ("m"):rep(20) .. "1234567"
      .. ("\0"):rep(10) .. "\1a\1b\0\0"
    local blocks = run { down("query_attributes", {}, "a"), down("query_attributes", {}, "b"),
      feed(0x0107, attributes, { serial = 5 }), feed(0x0107, attributes, { serial = 6 }) }
    assert.equal(4, #fates(blocks))
    local function id(events)
      for _, p in ipairs(terminal.published(events)) do
        if p[1] == "command" then return p[2].id end
      end
    end
    assert.equal("a", id(blocks[3]))
    assert.equal("b", id(blocks[4]))
  end)

  it("twice outstanding leave the connection open", function()
    for _, name in ipairs { "query_attributes", "query_driver" } do
      local blocks = run { down(name, {}), down(name, {}), feed(0x0002, "", { serial = 1 }) }
      assert.equal(2, #terminal.sent(blocks[1]) + #terminal.sent(blocks[2]))
      assert.equal(1, #terminal.sent(blocks[3]))
    end
  end)

  it("answered by the last packet's serial are acknowledged", function()
    local blocks = run({ down("text", { text = ("x"):rep(50) }), answer(4, 0x8300, 0) },
      '{"packet_size":16}')
    local sent = terminal.sent(blocks[1])
    assert.equal(4, #sent)
    local body = ""
    for n, f in ipairs(sent) do
      assert.same({ n, 4, n }, { f.serial, f.total, f.number })
      body = body .. f.body
    end
    assert.equal("\12" .. ("x"):rep(50), body)
    assert.same({ "sent text", "acked text" }, fates(blocks))
  end)

  it("have their packets sent again where the terminal misses some", function()
    local blocks = run({ down("text", { text = ("x"):rep(50) }),
      feed(0x0005, string.pack(">I2BI2I2", 1, 2, 2, 4), { serial = 3 }) }, '{"packet_size":16}')
    local again = terminal.sent(blocks[2])
    assert.same({ 2, 4 }, { again[1].number, again[2].number })
    assert.same({ 2, 4 }, { again[1].serial, again[2].serial })
  end)

  it("beyond what may fly wait in line, and some are too many", function()
    local blocks = run({ down("check_link", {}, "a"), down("check_link", {}, "b"),
      down("check_link", {}, "c"), answer(1, 0x8204, 0), "advance 1", answer(2, 0x8204, 0) },
      '{"commands_in_flight":1,"commands_queued":1}')
    assert.same({ "sent check_link", "queued check_link", "refused check_link",
      "acked check_link", "sent check_link", "acked check_link" }, fates(blocks))
  end)

  it("that wait in line are not overtaken, and no more fly than may", function()
    local blocks = run({ down("check_link", {}, "a"), down("check_link", {}, "b"),
      answer(1, 0x8204, 0), "advance 1", down("check_link", {}, "c"), answer(2, 0x8204, 0) },
      '{"commands_in_flight":1}')
    assert.same({ "sent check_link", "queued check_link", "acked check_link", "sent check_link",
      "queued check_link", "acked check_link" }, fates(blocks))
  end)

  it("of a terminal that leaves go back to its queue, three times at most", function()
    local blocks = run { down("check_link", {}, "a"), "hangup 1", "advance 10" }
    local all = {}
    for i = 2, 3 do
      for _, p in ipairs(terminal.published(blocks[i])) do all[p[1]] = p[2] end
    end
    assert.equal("check_link", all.down.command)
    assert.equal(1, all.down.again)
    assert.equal("queued", all.command.state)
    blocks = run({ down("check_link", {}, "a"), down("check_link", {}, "b"), "hangup 1",
      "advance 10" }, '{"commands_in_flight":1}')
    local back = {}
    for i = 3, 4 do
      for _, p in ipairs(terminal.published(blocks[i])) do
        if p[1] == "down" then back[#back + 1] = p[2].id end
      end
    end
    assert.same({ "a", "b" }, back)
    blocks = run { ("deliver %s jt808/%s/down 1 %s"):format(DEVICE, DEVICE,
      cjson.encode { command = "check_link", args = {}, again = 3 }), "hangup 1", "advance 10" }
    local fate = terminal.published(blocks[2])[1] or terminal.published(blocks[3])[1]
    assert.equal("expired", fate[2].state)
  end)

  it("older than their ttl expire before they are sent, also out of the line", function()
    local blocks = run({ down("check_link", {}, "a", -1), down("check_link", {}, "b", 60),
      down("check_link", {}, "c", 5), down("check_link", {}, "d", 60), "advance 6000",
      answer(1, 0x8204, 0), "advance 1" }, '{"commands_in_flight":1}')
    assert.same({ "expired check_link", "sent check_link", "queued check_link",
      "queued check_link", "acked check_link", "expired check_link", "sent check_link" },
      fates(blocks))
    assert.same({ "2:8204", "7:8204" }, ids(blocks))
    assert.equal("older than its ttl", terminal.published(blocks[1])[1][2].reason)
  end)

  it("keep the time that is left of their ttl when they go back", function()
    local blocks = run { down("check_link", {}, "a", 60), "advance 5000", "hangup 1",
      "advance 10" }
    for _, p in ipairs(terminal.published(blocks[3])) do
      if p[1] == "down" then assert.near(55, p[2].ttl, 0.1) end
    end
    assert.same({ "sent check_link", "queued check_link" }, fates(blocks))
    blocks = run { down("check_link", {}, "a", 4), "advance 5000", "hangup 1", "advance 10" }
    assert.same({ "sent check_link", "expired check_link" }, fates(blocks))
  end)

  it("that make no sense are refused with the reason, and the terminal stays", function()
    local blocks = run { "deliver 013800138000 jt808/013800138000/down 1 no json",
      "deliver 013800138000 jt808/013800138000/down 1 [1]",
      down("fly", {}), down("text", {}), down("set_parameters", { parameters = { no = 1 } }),
      down("set_parameters", { parameters = { heartbeat_interval = -1 } }),
      down("query_some_parameters", { parameter_ids = { "nonsense" } }),
      feed(0x0002, "", { serial = 1 }) }
    for i = 1, 7 do
      local fate = terminal.published(blocks[i])[1]
      assert.equal("command", fate[1], i)
      assert.equal("refused", fate[2].state, i)
      assert.truthy(fate[2].reason, i)
    end
    assert.equal(0, terminal.answer(terminal.sent(blocks[8])[1])[3])
  end)

  it("set and query parameters by name, by number, and as bytes", function()
    local blocks = run { down("set_parameters", { parameters = {
      heartbeat_interval = 30, main_server = "a.example", forbidden_period = "22:50-10:30",
      ["0xf001"] = "0102" } }),
      down("query_some_parameters", { parameter_ids = { "max_speed", "0x0001" } }) }
    local want = string.pack(">BI4BI4", 4, 1, 4, 30) .. string.pack(">I4s1", 0x13, "a.example")
      .. string.pack(">I4s1", 0x32, "\x16\x32\x0a\x1e") .. string.pack(">I4s1", 0xF001, "\1\2")
    assert.equal(terminal.hex(want), terminal.hex(terminal.sent(blocks[1])[1].body))
    assert.equal(string.pack(">BI4I4", 2, 0x55, 1), terminal.sent(blocks[2])[1].body)
  end)

  it("send what is not known here as bytes", function()
    local blocks = run { down("send", { id = "0x8f01", data = "0a0b" }) }
    local sent = terminal.sent(blocks[1])[1]
    assert.equal(0x8F01, sent.id)
    assert.equal("\10\11", sent.body)
  end)
end)

describe("jt808 doors", function()
  it("are locked only where the device is listed", function()
    local blocks = run { down("vehicle_control", { lock = true }),
      down("terminal_control", { command = 4 }) }
    assert.same({ "refused vehicle_control", "refused terminal_control" }, fates(blocks))
    assert.equal(0, #terminal.sent(blocks[1]))
  end)

  local function body(lock, config, v2019)
    local blocks = run({ down("vehicle_control", { lock = lock }) }, config, v2019)
    return terminal.hex(terminal.sent(blocks[1])[1].body)
  end

  it("mean the opposite number in 2013 and 2019", function()
    local allow = '{"allow":["013800138000"]}'
    assert.equal("01", body(true, allow))
    assert.equal("00", body(false, allow))
    assert.equal("0001000100", body(true, allow, true))
    assert.equal("0001000101", body(false, allow, true))
    local old = '{"allow":["*"],"door_sense":"2013"}'
    assert.equal("0001000101", body(true, old, true))
    assert.equal("0001000100", body(false, old, true))
  end)

  it("say by their position what came of it", function()
    local blocks = run({ down("vehicle_control", { lock = true }),
      feed(0x0500, string.pack(">I2", 1) .. terminal.POSITION, { serial = 2 }) },
      '{"allow":["*"]}')
    assert.same({ "sent vehicle_control", "acked vehicle_control" }, fates(blocks))
  end)
end)

describe("jt808 devices that are special", function()
  it("get texts with a zero byte at the end", function()
    local config = '{"terminate_strings":["013800138000"]}'
    local blocks = run({ down("text", { text = "hi" }),
      down("call", { flag = 0, phone_number = "1" }),
      down("set_parameters", { parameters = { plate = "AB" } }) }, config)
    assert.equal("\12hi\0", terminal.sent(blocks[1])[1].body)
    assert.equal("\0001\0", terminal.sent(blocks[2])[1].body)
    assert.equal("0100000083034142" .. "00", terminal.hex(terminal.sent(blocks[3])[1].body))
    blocks = run({ down("text", { text = "hi" }) }, '{"terminate_strings":["013800138001"]}')
    assert.equal("\12hi", terminal.sent(blocks[1])[1].body)
  end)

  it("get the header that the config says, and the edition of bodies", function()
    local config = '{"headers":{"013800138000":"2019"},"editions":{"013800138000":"2019"}}'
    local blocks = run({ down("text", { text = "hi" }), feed(0x0002, "", { serial = 3 }) }, config)
    local sent = terminal.sent(blocks[1])[1]
    assert.is_true(sent.v2019)
    assert.equal("00000000013800138000", sent.phone)
    assert.equal("\12\1hi", sent.body)
    assert.is_true(terminal.sent(blocks[2])[1].v2019)
    blocks = run({ down("text", { text = "hi" }) },
      '{"headers":{"013800138000":"2013"},"editions":{"013800138000":"2013"}}', true)
    sent = terminal.sent(blocks[1])[1]
    assert.is_false(sent.v2019)
    assert.equal("013800138000", sent.phone)
    assert.equal("\12hi", sent.body)
  end)
end)
