-- SPDX-License-Identifier: Apache-2.0
-- Every vector through the adapter: values, every cut of the bytes, what is wrong, and back to
-- the same bytes.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"
local vectors = dofile "spec/protocols/jt808/vectors.lua"

local PATH = "protocols/jt808"
local all = vectors.load "jt808.jsonl"
local edges = vectors.load "jt808_edge.jsonl"

local function select(kind, direction)
  local some = {}
  for _, v in ipairs(all) do
    if v.kind == kind and (not direction or v.direction == direction) then some[#some + 1] = v end
  end
  assert(#some > 0)
  return some
end

local PER_STATE = 60 -- connections; the runner has a limit

--- A new connection, in a new state now and then. @return its number.
local function connect(commands, n, config)
  if n % PER_STATE == 1 then commands[#commands + 1] = "open " .. (config or "{}") end
  commands[#commands + 1] = "connect 192.0.2.1:5000"
  return (n - 1) % PER_STATE + 1
end

local function feed_each(some, config, path)
  local commands, where = {}, {}
  for i, v in ipairs(some) do
    local conn = connect(commands, i, config)
    commands[#commands + 1] = ("feed %d %s"):format(conn, v.hex)
    where[i] = #commands
  end
  local blocks = offline.run(path or PATH, commands)
  local out = {}
  for i in ipairs(some) do out[i] = blocks[where[i]] end
  return out
end

--- Is there a flag inside, where an escape was forgotten?
local function flag_inside(v)
  return v.hex:sub(3, -3):gsub("..", "%0 "):find "%f[%w]7E" ~= nil
end

--- A device that escapes nothing: the checksum fits what was sent.
local function holds_as_sent(v)
  local bytes = terminal.unhex(v.hex):sub(2, -2)
  local x = 0
  for i = 1, #bytes do x = x ~ bytes:byte(i) end
  return x == 0
end

local function name(v) return v.id .. " " .. tostring(v.name) end

--- Vectors whose reading here differs on purpose.
local DEVIATES = {
  ["jt808-8004-3d79cc0098"] = "0x8004 is read as UTC, as its name says",
}

describe("jt808 decode", function()
  it("reads all fields of all valid frames, up and down", function()
    local some = select "valid"
    assert.equal(452, #some)
    for i, events in ipairs(feed_each(some)) do
      local v = some[i]
      local messages = offline.of(events, "message")
      assert.equal(1, #messages, name(v))
      local m = messages[1].message
      if m.total then
        assert.equal(v.expect.header.packet_total, m.total)
        assert.equal(v.expect.header.packet_number, m.number)
      elseif not DEVIATES[v.id] then
        assert.same({}, vectors.differences(v.expect.body, vectors.data_of(m)), name(v))
      end
      if m.head then
        local want = v.expect.header
        assert.equal(want.msg_id, ("0x%04X"):format(m.id))
        assert.equal(want.serial, m.serial)
        assert.equal(want.phone:lower(), m.head.phone)
        assert.equal(want.body_length, m.head.body_length)
      end
    end
  end)

  it("gives the same message at every cut of a frame", function()
    local some = select "valid"
    local whole = feed_each(some)
    for from = 1, #some, PER_STATE do
      local commands, checks = {}, {}
      for i = from, math.min(from + PER_STATE - 1, #some) do
        local v = some[i]
        local conn = connect(commands, i)
        local step = #v.hex > 600 and 14 or 2 -- of long ones every seventh
        for cut = 2, v.msg == "0x0003" and 2 or #v.hex - 2, step do
          commands[#commands + 1] = ("feed %d %s"):format(conn, v.hex:sub(1, cut))
          commands[#commands + 1] = ("feed %d %s"):format(conn, v.hex:sub(cut + 1))
          checks[#checks + 1] = { at = #commands, v = v, want = whole[i], cut = cut / 2 }
        end
      end
      local blocks = offline.run(PATH, commands)
      for _, c in ipairs(checks) do
        assert.same({}, offline.of(blocks[c.at - 1], "message"), name(c.v) .. " came early")
        local got, want = offline.of(blocks[c.at], "message"), offline.of(c.want, "message")
        assert.same(want[1].message, got[1].message, name(c.v) .. " cut after " .. c.cut)
      end
    end
  end)
end)

-- Frames whose header has the form that its flag denies: their length tells it.
local TOLD_BY_LENGTH = {
  ["jt808-8104-bf808ee13b"] = true, ["jt808-0200-2f8794b851"] = true,
}
-- A vendor's header with a serial of one byte, which is known.
local ONE_BYTE_SERIAL = { ["0x5501"] = true, ["0x5502"] = true }

describe("jt808 malformed frames", function()
  it("are dropped, and the connection goes on", function()
    local some = select "malformed"
    local commands, where = {}, {}
    local good = terminal.hex(terminal.frame(0x0002, "", { serial = 7 }))
    for i, v in ipairs(some) do
      local conn = connect(commands, i)
      commands[#commands + 1] = ("feed %d %s"):format(conn, v.hex)
      commands[#commands + 1] = ("feed %d %s"):format(conn, good)
      where[i] = #commands
    end
    local blocks = offline.run(PATH, commands)
    for i, v in ipairs(some) do
      local messages = offline.of(blocks[where[i] - 1], "message")
      local known = TOLD_BY_LENGTH[v.id] or ONE_BYTE_SERIAL[v.msg] or holds_as_sent(v)
      if not known then assert.equal(0, #messages, name(v)) end
      assert.equal(1, #offline.of(blocks[where[i]], "message"), name(v) .. ": the next one")
      assert.equal(0, #offline.of(blocks[where[i]], "close"), name(v))
    end
  end)

  it("with a wrong checksum or length are read where the listener says so", function()
    local some = {}
    for _, kind in ipairs { "malformed", "negative" } do
      for _, v in ipairs(select(kind)) do
        local e = v.expect.error
        if v.expect.lenient and (e == "checksum" or e == "length" or e == "body")
          and not TOLD_BY_LENGTH[v.id] and not ONE_BYTE_SERIAL[v.msg]
          and not flag_inside(v) then
          some[#some + 1] = v
        end
      end
    end
    assert.is_true(#some > 15)
    local read = 0
    local unchecked = feed_each(some, '{"lenient_length":true}', PATH .. " jt808-unchecked")
    for i, events in ipairs(unchecked) do
      local v = some[i]
      local m = offline.of(events, "message")[1]
      if m and not m.message.fragment then
        local wrong = vectors.differences(v.expect.lenient.body, vectors.data_of(m.message))
        if not v.contested then assert.same({}, wrong, name(v)) end
        read = read + 1
      end
    end
    assert.is_true(read >= 12, "only " .. read)
  end)

  it("that a vendor means so are read as that vendor does", function()
    for _, v in ipairs(select "malformed") do
      if v.expect.vendor_reading and not flag_inside(v) then
        local events = feed_each({ v })[1]
        local m = offline.of(events, "message")[1].message
        assert.equal(v.expect.vendor_reading.serial, m.serial)
        assert.equal(v.expect.vendor_reading.body.hex, m.data.data)
      end
    end
  end)

  it("made on purpose neither pass nor end the connection", function()
    local some = select "negative"
    for i, events in ipairs(feed_each(some)) do
      local v = some[i]
      local m = offline.of(events, "message")[1]
      if v.expect.error == "body" then
        assert.truthy(m, name(v))
        assert.truthy(m.message.data.flaws or m.message.data.tail, name(v))
      else
        assert.is_nil(m, name(v))
      end
      assert.equal(0, #offline.of(events, "close"), name(v))
    end
  end)
end)

-- ---- back ------------------------------------------------------------------------------------

--- Where the sender is free: the order of parameters, and zeros behind texts.
local FREE = {
  ["0x8400"] = "a number padded with zeros", ["0x8001"] = "a body behind the answer",
}

local function login(conn, header)
  local options = { phone = header.phone, v2019 = header.version_flag }
  local body = header.version_flag and "\4code" .. ("i"):rep(15) .. ("v"):rep(20) or "code"
  return ("feed %d %s"):format(conn, terminal.hex(terminal.frame(0x0102, body, options)))
end

--- The body that a frame of the vector has.
local function body_of(v)
  local f = terminal.read(terminal.unhex(v.hex))[1]
  return f.id, terminal.hex(f.body)
end

describe("jt808 encode", function()
  it("gives the bytes of every message down again", function()
    local some = {}
    for _, v in ipairs(select("valid", "down")) do
      if v.expect.header.phone_is_bcd and not v.expect.header.subpackage then
        some[#some + 1] = v
      end
    end
    local decoded = feed_each(some)
    local commands, where = {}, {}
    for i, v in ipairs(some) do
      local m = offline.of(decoded[i], "message")[1].message
      local conn = connect(commands, i, '{"allow":["*"],"command_tries":1}')
      commands[#commands + 1] = login(conn, v.expect.header)
      local device = v.expect.header.phone:gsub("^0+", "")
      device = ("0"):rep(12 - #device) .. device
      m.data.flaws = nil
      commands[#commands + 1] = ("deliver %s jt808/x/down 1 %s"):format(device,
        cjson.encode { command = m.type, args = next(m.data) and m.data or nil })
      where[i] = #commands
    end
    local blocks, same = offline.run(PATH, commands), 0
    for i, v in ipairs(some) do
      local sent = terminal.sent(blocks[where[i]])[1]
      local id, want = body_of(v)
      local got = sent and terminal.hex(sent.body)
      if got == want then
        same = same + 1
      elseif not v.contested and not FREE[v.msg] then
        assert.equal(want, got, name(v) .. " " .. cjson.encode(blocks[where[i]]))
      end
      if sent then assert.equal(id, sent.id) end
    end
    assert.is_true(same >= #some - 8, same .. " of " .. #some)
  end)
end)

-- ---- edges -----------------------------------------------------------------------------------

describe("jt808 edge cases", function()
  local function bodies(events)
    local out = {}
    for _, e in ipairs(offline.of(events, "message")) do out[#out + 1] = e.message end
    return out
  end

  for _, v in ipairs(edges) do
    if v.kind == "decode" then
      it("decode: " .. v.name, function()
        local got = bodies(feed_each({ v })[1])
        assert.equal(#v.expect.frames, #got)
        for i, frame in ipairs(v.expect.frames) do
          assert.same({}, vectors.differences(frame.body, vectors.data_of(got[i])))
        end
      end)
    elseif v.kind == "decode_split_every_offset" then
      it("decode at every cut: " .. v.name, function()
        for cut = 2, #v.hex - 2, 2 do
          local blocks = offline.run(PATH, { "open {}", "connect 192.0.2.1:5000",
            "feed 1 " .. v.hex:sub(1, cut), "feed 1 " .. v.hex:sub(cut + 1) })
          assert.same({}, bodies(blocks[3]))
          local got = bodies(blocks[4])
          assert.equal(1, #got)
          local want = v.expect.frames[1].body
          assert.same({}, vectors.differences(want, vectors.data_of(got[1])))
        end
      end)
    elseif v.kind == "limit" then
      it("bound: " .. v.name, function()
        local piece = v.fill_byte:rep(20000)
        local commands = { "open {}", "connect 192.0.2.1:5000", "feed 1 " .. v.hex_prefix }
        for _ = 1, v.fill_count // 20000 do commands[#commands + 1] = "feed 1 " .. piece end
        commands[#commands + 1] = "feed 1 "
          .. terminal.hex("~" .. terminal.frame(0x0002, "", { serial = 1 }))
        local blocks = offline.run(PATH, commands)
        assert.equal(1, #bodies(blocks[#blocks]))
      end)
    end
  end
end)
