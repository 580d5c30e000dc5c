-- SPDX-License-Identifier: Apache-2.0
-- Every vector through the adapter: values, answers, every cut of the bytes.
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gt06/vectors.lua"

local PATH = "protocols/gt06"
local LOGIN = "78780d0108650123456789010001e7d80d0a"
local all = vectors.load()

local function select(kind, direction)
  local some = {}
  for _, v in ipairs(all) do
    if v.kind == kind and (not direction or v.dir == direction) then some[#some + 1] = v end
  end
  assert(#some > 0)
  return some
end

local function add(list, ...)
  for _, item in ipairs { ... } do list[#list + 1] = item end
end

local PER_STATE = 60 -- connections; the runner has a limit

--- A new connection, in a new state now and then. @return its number.
local function connect(commands, n, config)
  if n % PER_STATE == 1 then add(commands, "open " .. (config or "{}")) end
  add(commands, "connect 192.0.2.1:5000")
  return (n - 1) % PER_STATE + 1
end

--- Feeds each vector on a connection of its own, after a login unless it is one.
local function feed_each(some, config)
  local commands, where = {}, {}
  for i, v in ipairs(some) do
    local conn = connect(commands, i, config)
    if v.msg ~= "0x01" then add(commands, ("feed %d %s"):format(conn, LOGIN)) end
    add(commands, ("feed %d %s"):format(conn, v.hex))
    where[i] = #commands
  end
  local blocks = offline.run(PATH, commands)
  local out = {}
  for i in ipairs(some) do out[i] = blocks[where[i]] end
  return out
end

describe("gt06 decode", function()
  it("reads all fields of all valid frames, up and down", function()
    local some = select "valid"
    local results, plain_answers = feed_each(some), 0
    for i, v in ipairs(some) do
      local messages = offline.of(results[i], "message")
      if v.dir == "down" and v.expect.framing.content_length == 0 then
        plain_answers = plain_answers + 1 -- a frame that devices never send
      else
        assert.equal(1, #messages, v.id .. " " .. v.name)
        local wrong = vectors.differences(v.expect.fields, vectors.data_of(messages[1].message))
        assert.same({}, wrong, v.id .. " " .. v.name)
        assert.equal(v.expect.framing.serial, messages[1].message.serial)
      end
    end
    assert.is_true(plain_answers < 10)
  end)

  it("answers what must and should be answered, byte for byte", function()
    local some = select("valid", "up")
    for i, events in ipairs(feed_each(some)) do
      local v, want = some[i], {}
      local reply = v.expect.reply
      if reply.need == "yes" or reply.need == "recommended" then want[1] = reply.hex end
      local got = {}
      for _, e in ipairs(offline.of(events, "send")) do add(got, e.hex) end
      assert.same(want, got, v.id .. " " .. v.name .. " " .. reply.need)
    end
  end)

  it("answers all that may be answered if it is told to", function()
    local some = select("valid", "up")
    for i, events in ipairs(feed_each(some, '{"answer":"all"}')) do
      local v = some[i]
      local sent = offline.of(events, "send")[1]
      if v.expect.reply.need == "optional" and type(v.expect.reply.hex) == "string" then
        assert.equal(v.expect.reply.hex, sent and sent.hex, v.id .. " " .. v.name)
      elseif v.expect.reply.need == "no" then
        assert.is_nil(sent, v.id .. " " .. v.name)
      end
    end
  end)

  it("gives the same message at every cut of a frame", function()
    local some = select("valid", "up")
    local whole = feed_each(some)
    local commands, checks = {}, {}
    local n = 0
    for i, v in ipairs(some) do
      for cut = 2, #v.hex - 2, 2 do
        n = n + 1
        local conn = connect(commands, n)
        add(commands, ("feed %d %s"):format(conn, v.hex:sub(1, cut)),
          ("feed %d %s"):format(conn, v.hex:sub(cut + 1)))
        checks[#checks + 1] = { at = #commands - 1, vector = v, want = whole[i], cut = cut / 2 }
      end
    end
    local blocks = offline.run(PATH, commands)
    for _, c in ipairs(checks) do
      assert.same({}, offline.of(blocks[c.at], "message"), c.vector.id .. " came early")
      local got, want = offline.of(blocks[c.at + 1], "message"), offline.of(c.want, "message")
      assert.same(want, got, c.vector.id .. " cut after byte " .. c.cut)
    end
  end)
end)

describe("gt06 streams", function()
  it("deliver their frames in order, with their answers, as the pieces arrive", function()
    local some = select "chunks"
    local commands, where = {}, {}
    for i, v in ipairs(some) do
      local conn = connect(commands, i)
      where[i] = #commands
      for _, chunk in ipairs(v.chunks) do add(commands, ("feed %d %s"):format(conn, chunk)) end
    end
    local blocks = offline.run(PATH, commands)
    for i, v in ipairs(some) do
      local messages, sends, e = {}, {}, v.expect
      for k in ipairs(v.chunks) do
        local events = blocks[where[i] + k]
        for _, m in ipairs(offline.of(events, "message")) do add(messages, m.message) end
        for _, s in ipairs(offline.of(events, "send")) do add(sends, s.hex) end
        assert.equal(e.after_chunk[k], #messages, v.name .. ", piece " .. k)
      end
      for k, frame in ipairs(e.frames) do
        assert.equal(tonumber(frame.protocol), messages[k].proto, v.name)
        assert.equal(frame.serial, messages[k].serial, v.name)
      end
      if e.replies then assert.same(e.replies, sends, v.name) end
    end
  end)

  it("put a device's clock right by the zone of its login, but not those that are UTC", function()
    local seen = 0
    for _, v in ipairs(select "chunks") do
      if v.expect.position_time_as_read then
        local commands = { "open {}", "connect 192.0.2.1:5000", "feed 1 " .. v.hex }
        local messages = offline.of(offline.run(PATH, commands)[3], "message")
        local data = vectors.data_of(messages[#messages].message)
        local want = v.expect.position_time_if_local
        if type(want) ~= "string" then want = v.expect.position_time_as_read end
        assert.equal(want, data.time, v.name)
        seen = seen + 1
      end
    end
    assert.is_true(seen >= 2)
  end)
end)

local FLAWS = {
  time_invalid = true, time_missing = true, position_out_of_range = true,
  course_out_of_range = true, bad_text = true, command_length = true,
}

describe("gt06 malformed frames", function()
  local some = select "malformed"
  local results = feed_each(some)

  it("are dropped without an answer, and the good ones among them are not", function()
    for i, v in ipairs(some) do
      local want = v.expect.lenient or v.expect
      local got = {}
      for _, e in ipairs(offline.of(results[i], "message")) do
        add(got, { protocol = ("0x%02x"):format(e.message.proto), serial = e.message.serial })
      end
      if not v.expect.content_error then
        local frames = {}
        for _, f in ipairs(want.frames) do
          add(frames, { protocol = f.protocol, serial = f.serial })
        end
        assert.same(frames, got, v.id .. " " .. v.name)
      end
    end
  end)

  it("with a wrong content say what is wrong and keep what can be used", function()
    for i, v in ipairs(some) do
      local e = v.expect.content_error
      local message = offline.of(results[i], "message")[1]
      local complaint = offline.of(results[i], "complain")[1]
      if e then
        if FLAWS[e] then
          local data = vectors.data_of(message.message)
          assert.truthy(table.concat(data.flaws, " "):find(e, 1, true), v.id .. " " .. v.name)
          if v.expect.fields then
            local fields = v.expect.fields
            if e == "course_out_of_range" then fields.course_deg = nil end
            local wrong = vectors.differences(fields, data, e == "position_out_of_range")
            assert.same({}, wrong, v.id)
          end
        elseif message and message.message.data and message.message.data.flaws then
          assert.same({ e }, message.message.data.flaws, v.id)
        else
          assert.truthy(complaint or message.message.refused, v.id .. " " .. v.name)
        end
      end
    end
  end)

  it("get the answer that a device needs all the same, or none", function()
    for i, v in ipairs(some) do
      local reply = v.expect.reply
      if reply then
        local sent = offline.of(results[i], "send")
        assert.equal(reply.need == "yes" and 1 or 0, #sent, v.id)
        if sent[1] then assert.equal(reply.hex, sent[1].hex) end
        if v.msg == "0x01" then assert.equal(1, #offline.of(results[i], "close"), v.id) end
      end
    end
  end)
end)
