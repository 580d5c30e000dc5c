-- SPDX-License-Identifier: Apache-2.0
-- Options that no other spec needs, and the bounds of what is held: each as it is by default,
-- and as it was chosen.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local PATH = "protocols/jt808"
local DEVICE = "013800138000"

local function feed(id, body, o, conn)
  return ("feed %d %s"):format(conn or 1, terminal.hex(terminal.frame(id, body, o)))
end

local LOGIN = feed(0x0102, "code", { serial = 900 })

--- The events of `commands` on a connection that is logged in.
local function run(config, commands, adapter)
  local all = { "open " .. config, "connect 192.0.2.1:5000", LOGIN }
  for _, c in ipairs(commands) do all[#all + 1] = c end
  local blocks = offline.run(PATH .. (adapter and " " .. adapter or ""), all)
  return table.move(blocks, 4, #blocks, 1, {})
end

local function result(events) return terminal.answer(terminal.sent(events)[1])[3] end

local function packet(number, o)
  return feed(o.id or 0x0704, o.body or "x", { serial = o.serial or number, total = o.total or 3,
    number = number }, o.conn)
end

--- How many frames each block of events has sent.
local function counts(blocks)
  local out = {}
  for i, events in ipairs(blocks) do out[i] = #terminal.sent(events) end
  return out
end

describe("jt808 options", function()
  it("unknown: messages that nobody knows are refused, or accepted", function()
    local vendor = { feed(0x0F01, "x", { serial = 1 }) }
    assert.equal(3, result(run("{}", vendor)[1]))
    assert.equal(0, result(run('{"unknown":"accept"}', vendor)[1]))
  end)

  it("server_time: UTC, or the time of the standard's clocks", function()
    local ask = { feed(0x0004, "", { serial = 1 }) }
    assert.equal("\x26\1\2\3\4\5", terminal.sent(run("{}", ask)[1])[1].body)
    assert.equal("\x26\1\2\x11\4\5",
      terminal.sent(run('{"server_time":"local"}', ask)[1])[1].body)
  end)

  it("fragment_answers: each packet of a picture, each of all, or the last", function()
    local POSITIONS = "\0\1\0\0\28" .. terminal.POSITION
    local function sent(config, id, body)
      return counts(run(config, { packet(1, { id = id, body = body:sub(1, 9), total = 2 }),
        packet(2, { id = id, body = body:sub(10), total = 2 }) }))
    end
    local picture = "\0\0\0\9\0\0\0\1" .. terminal.POSITION .. "abc"
    assert.same({ 0, 1 }, sent("{}", 0x0704, POSITIONS))
    assert.same({ 1, 2 }, sent("{}", 0x0801, picture)) -- 0x8800 follows the last one's answer
    assert.same({ 1, 1 }, sent('{"fragment_answers":"each"}', 0x0704, POSITIONS))
    assert.same({ 0, 1 }, sent('{"fragment_answers":"last"}', 0x0801, picture))
  end)

  it("media: binary on a topic of one's own, hex in the record, or nothing", function()
    local picture = { feed(0x0801, "\0\0\0\9\0\0\0\1" .. terminal.POSITION .. "abc",
      { serial = 1 }) }
    local all = terminal.published(
      run('{"media":"binary","media_topic":"cam/${device}/${file}"}', picture)[1])
    assert.equal("cam/" .. DEVICE .. "/9.jpg", all[1][3])
    all = terminal.published(run('{"media":"hex"}', picture)[1])
    assert.same({ 1, "616263" }, { #all, all[1][2].data_hex })
    all = terminal.published(run('{"media":"none"}', picture)[1])
    assert.same({ 1, 3 }, { #all, all[1][2].size })
    assert.is_nil(all[1][2].data_hex or all[1][2].data or all[1][2].file)
  end)

  it("answer_timeout: how long a terminal that confirmed may take", function()
    local blocks = run('{"answer_timeout":"30s"}', {
      ("deliver %s jt808/x/down 1 %s"):format(DEVICE, cjson.encode { command = "query_driver" }),
      feed(0x0001, string.pack(">I2I2B", 1, 0x8702, 0), { serial = 1 }),
      "advance 11000", "advance 28000", "advance 3000" })
    local function fate(i)
      local p = terminal.published(blocks[i])[1]
      return p and p[2].state
    end
    assert.same({ "sent" }, { fate(1), fate(3), fate(4) })
    assert.equal("expired", fate(5))
  end)
end)

describe("jt808 bounds", function()
  it("reassembly_time: a message that is too old is lost, however it goes on", function()
    local blocks = run('{"reassembly_time":"25s","resend_tries":100}', { packet(1, {}),
      "advance 10001", "advance 10001", "advance 10001" })
    assert.same({ 0x8003, 0x8003 },
      { terminal.sent(blocks[2])[1].id, terminal.sent(blocks[3])[1].id })
    assert.equal("incomplete", terminal.published(blocks[4])[1][1])
  end)

  it("unfinished messages of one terminal are eight at most", function()
    local commands = {}
    for n = 1, 9 do commands[n] = packet(1, { id = 0x0700 + n - 1, total = n + 1, serial = n }) end
    local blocks = run("{}", commands)
    assert.equal(0, #offline.of(blocks[8], "complain"))
    assert.equal(1, #offline.of(blocks[9], "complain"))
    assert.equal(1, result(blocks[9]))
  end)

  it("reassembly_total: nothing more is held for others until there is room", function()
    local blocks = run('{"reassembly_total":1000}', {
      packet(1, { body = ("x"):rep(900) }), "connect 192.0.2.1:1",
      feed(0x0102, "code", { serial = 1, phone = "013800138001" }, 2),
      feed(0x0704, ("x"):rep(900), { phone = "013800138001", total = 3, number = 1 }, 2),
      "hangup 1",
      feed(0x0704, ("x"):rep(900), { phone = "013800138001", total = 3, number = 1, serial = 5 },
        2) })
    assert.equal(1, #offline.of(blocks[4], "complain"))
    assert.equal(0, #offline.of(blocks[6], "complain"))
  end)

  it("terminals: no more phones on one connection of a concentrator, until one logs out", function()
    local function hello(n, id)
      return feed(id or 0x0100, "\0\1\0\2abcde" .. ("m"):rep(20) .. "1234567\1PLATE",
        { phone = ("0138001381%02d"):format(n), serial = n })
    end
    local blocks = run('{"terminals":3}', { hello(1), hello(2), hello(3), hello(1),
      hello(2, 0x0003), hello(4) }, "jt808-concentrator")
    assert.same({ 1, 1, 0, 1, 1, 1 }, counts(blocks))
    assert.equal(1, #offline.of(blocks[3], "complain"))
  end)

  it("files that are announced on one connection are 64 at most", function()
    local commands = { feed(0x1210, "", { serial = 1 }) }
    for n = 1, 65 do
      commands[n + 1] = feed(0x1211, string.pack(">s1BI4", "f" .. n, 0, 4), { serial = n + 1 })
    end
    local blocks = run("{}", commands, "jt808-attachments")
    assert.equal(0, #offline.of(blocks[65], "complain"))
    assert.equal(1, #offline.of(blocks[66], "complain"))
  end)

  it("packets that are asked for again are those of the last long message", function()
    local blocks = run("{}", { feed(0x0005, string.pack(">I2BI2", 9, 1, 1), { serial = 1 }) })
    assert.equal(0, #terminal.sent(blocks[1]))
    assert.equal(1, #offline.of(blocks[1], "complain"))
  end)
end)
