-- SPDX-License-Identifier: Apache-2.0
-- Topics and JSON for applications that were written for another gateway.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local function feed(id, body, o)
  return "feed 1 " .. terminal.hex(terminal.frame(id, body, o))
end

local function down(id, body)
  return "deliver 013800138000 jt808/013800138000/dn 1 "
    .. cjson.encode { header = { msg_id = id }, body = body }
end

local function run(commands)
  local all = { 'open {"payload":"emqx","down":"jt808/${device}/dn","command_tries":1}',
    "connect 192.0.2.1:5000", feed(0x0102, "code", { serial = 1 }) }
  for _, c in ipairs(commands) do all[#all + 1] = c end
  local blocks = offline.run("protocols/jt808", all)
  return table.move(blocks, 4, #blocks, 1, {}), blocks
end

local function up(events)
  local p = terminal.published(events)
  return p[#p][2], p[#p][3]
end

describe("jt808 with payload = emqx", function()
  it("subscribes the topic down that is configured", function()
    local _, blocks = run {}
    assert.equal("jt808/013800138000/dn", offline.of(blocks[3], "subscribe")[1].filter)
  end)

  it("has positions with numbers as they are on the wire", function()
    local extra = "\1\4\0\0\1\0\x25\4\0\0\0\5\x11\5\1\0\0\0\7\x2B\4\0\1\0\2\xE1\2ab"
    local blocks = run { feed(0x0200, terminal.POSITION .. extra, { serial = 2 }) }
    local got, topic = up(blocks[1])
    assert.equal("jt808/013800138000/up", topic)
    assert.same({ msg_id = 512, encrypt = 0, len = 57, phone = "013800138000", msg_sn = 2 },
      got.header)
    local b = got.body
    assert.same({ 0, 3, 31230000, 121470000, 10, 600, 90, "260807181000" },
      { b.alarm, b.status, b.latitude, b.longitude, b.altitude, b.speed, b.direction, b.time })
    assert.equal(256, b.extra.mileage)
    assert.same({ low_beam = 1, high_beam = 0 }, b.extra.signal)
    assert.equal(1, b.extra.right_turn)
    assert.same({ type = 1, id = 7 }, b.extra.overspeed_alarm)
    assert.same({ ad0 = 2, ad1 = 1 }, b.extra.analog)
  end)

  it("has parameters as numbers, pictures in Base64, answers by their short names", function()
    local blocks = run {
      feed(0x0104, string.pack(">I2BI4BI4", 1, 1, 0x80, 4, 60), { serial = 3 }),
      feed(0x0801, "\0\0\0\1\0\0\0\1" .. terminal.POSITION .. "abcd", { serial = 4 }),
      feed(0x0001, string.pack(">I2I2B", 9, 0x8300, 0), { serial = 5 }),
      feed(0x0704, "\0\1\1\0\28" .. terminal.POSITION, { serial = 6 }),
      feed(0x0702, "\2\x26\1\2\3\4\5", { serial = 7 }),
    }
    assert.same({ seq = 1, length = 1, params = { { id = 128, value = 60 } } }, up(blocks[1]).body)
    local picture = up(blocks[2]).body
    assert.equal("YWJjZA==", picture.multimedia)
    assert.equal(31230000, picture.location.latitude)
    assert.same({ seq = 9, id = 0x8300, result = 0 }, up(blocks[3]).body)
    local batch = up(blocks[4]).body
    assert.same({ 1, 1, 1 }, { batch.type, batch.length, #batch.location })
    assert.equal("260102030405", up(blocks[5]).body.time)
  end)

  it("has parameters with fields as one value each", function()
    local list = string.pack(">I4BI4", 0x50, 4, 3) .. string.pack(">I4BBB", 0x7B, 2, 50, 60)
    local blocks = run { feed(0x0104, string.pack(">I2B", 1, 2) .. list, { serial = 3 }) }
    assert.same({ { id = 0x50, value = 3 }, { id = 0x7B, value = "323c" } },
      up(blocks[1]).body.params)
  end)

  it("takes commands in that shape", function()
    local area = { id = 5, flag = 3, center_latitude = 31230000, center_longitude = 121470000,
      radius = 100, start_time = "200101000000", end_time = "210101000000", max_speed = 60,
      overspeed_duration = 5 }
    local cases = {
      { 0x8103, { length = 1, params = { { id = 1, value = 60 } } }, "0100000001040000003c" },
      { 0x8106, { length = 1, ids = { 1 } }, "0100000001" },
      { 0x8202, { period = 5, expiry = 600 }, "000500000258" },
      { 0x8300, { flag = 1, text = "hi" }, "016869" },
      { 0x8301, { type = 2, length = 1, events = { { id = 1, length = 2, content = "ab" } } },
        "020101026162" },
      { 0x8600, { type = 1, length = 1, areas = { area } },
        "010100000005000301dc8830073d7c3000000064200101000000210101000000003c05" },
      { 0x8601, { length = 1, ids = { 7 } }, "0100000007" },
      { 0x8900, { type = 1, data = "YWJjZA==" }, "0161626364" },
      { 0x8104, {}, "" },
    }
    local commands = {}
    for i, c in ipairs(cases) do commands[i] = down(c[1], c[2]) end
    for i, events in ipairs(run(commands)) do
      local sent = terminal.sent(events)[1]
      if i <= 8 then -- as many as may fly
        assert.equal(cases[i][1], sent.id)
        assert.equal(cases[i][3], terminal.hex(sent.body))
      end
    end
  end)

  it("refuses what has no shape", function()
    local blocks = run { down("x", {}), down(0x8103, { params = 7 }) }
    for i = 1, 2 do assert.equal("refused", up(blocks[i]).state) end
  end)
end)
