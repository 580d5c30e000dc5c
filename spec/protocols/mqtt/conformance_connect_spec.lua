-- SPDX-License-Identifier: Apache-2.0
-- CONNECT and CONNACK, statement by statement: who is let in, with which words, and what a
-- refusal leaves behind.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host
local ALL = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

local function s2(text) return string.pack(">s2", text) end

-- Sends `bytes` on a connection of its own. @return all that was answered before the end
local function answer(bytes, port)
  local c = Mqtt.open(port or host.ports.mqtt)
  c:send(bytes)
  return (c.tcp:read_all())
end

-- CONNECT with these flags and this payload.
local function connect(version, flags, payload, name)
  return wire.packet(0x10, s2(name or "MQTT") .. string.char(version, flags) .. "\0\60"
    .. wire.props(version, nil) .. payload)
end

-- A CONNECT that breaks the format: what, flags, payload (for both), statements.
local BROKEN = {
  { "a reserved flag", 3, s2 "c", { [4] = "3.1.2-3", [5] = "3.1.2-3" } },
  { "will QoS without a will", 0x0A, s2 "c",
    { [4] = "3.1.2-11, 3.1.2-13", [5] = "3.1.2-11" } },
  { "will retain without a will", 0x22, s2 "c",
    { [4] = "3.1.2-11, 3.1.2-15", [5] = "3.1.2-13" } },
  { "a will nobody announced", 2, s2 "c" .. s2 "w" .. s2 "x", { [4] = "3.1.2-11" } },
  { "will QoS 3", 0x1E,
    { [4] = s2 "c" .. s2 "w" .. s2 "x", [5] = s2 "c" .. "\0" .. s2 "w" .. s2 "x" },
    { [4] = "3.1.2-14", [5] = "3.1.2-12" } },
  { "no will topic", 0x06, { [4] = s2 "c", [5] = s2 "c" .. "\0" },
    { [4] = "3.1.2-9", [5] = "3.1.2-9" } },
  { "no will message", 0x06, { [4] = s2 "c" .. s2 "w", [5] = s2 "c" .. "\0" .. s2 "w" },
    { [4] = "3.1.2-9", [5] = "3.1.2-9" } },
  { "no will properties", 0x06, { [4] = s2 "c", [5] = s2 "c" }, { [5] = "3.1.2-9" } },
  { "no user name", 0x82, s2 "c", { [4] = "3.1.2-19", [5] = "3.1.2-17" } },
  { "a user name without its flag", 2, s2 "c" .. s2 "u", { [4] = "3.1.2-18", [5] = "3.1.2-16" } },
  { "no password", 0xC2, s2 "c" .. s2 "u", { [4] = "3.1.2-21", [5] = "3.1.2-19" } },
  { "a password without its flag", 0x82, s2 "c" .. s2 "u" .. s2 "p",
    { [4] = "3.1.2-20", [5] = "3.1.2-18" } },
  { "a password without a user", 0x42, s2 "c" .. s2 "p", { [4] = "3.1.2-22" } },
  { "no client identifier", 2, "", { [4] = "3.1.3-3", [5] = "3.1.3-3" } },
}

local function start()
  host = Host.start { config = {
    users = { { user = "ann", password = "secret" } },
    listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "locked", adapter = "mqtt" },
      { name = "small", adapter = "mqtt", anonymous = true,
        options = { max_qos = 0, retain = false, assign_client_id = false } },
      { name = "middle", adapter = "mqtt", anonymous = true, options = { max_qos = 1 } },
    },
  } }
end

for v = 4, 5 do
  describe(Mqtt.names[v] .. " CONNECT", function()
    setup(start)
    teardown(function() host:stop() Host.cleanup() end)

    for _, case in ipairs(BROKEN) do
      if case[4][v] then
        it(("is refused with %s%s%s"):format(case[1], tags(v, case[4]),
          tags(v, { [4] = "3.1.4-1, 3.2.2-6", [5] = "3.1.4-1" })), function()
          local payload = type(case[3]) == "table" and case[3][v] or case[3]
          local got = answer(connect(v, case[2], payload))
          if v == 4 then
            assert.equal("", got)
          else
            assert.equal("\x20", got:sub(1, 1))
            assert.equal("\0\x81", got:sub(3, 4))
            assert.equal(#got, got:byte(2) + 2)
          end
        end)
      end
    end

    it("comes first" .. tags(v, { [4] = "3.1.0-1", [5] = "3.1.0-1, 3.14.0-1" }), function()
      for _, bytes in ipairs { "\xC0\0", wire.publish(v, "t", "x"), "\xE0\0", "\xF0\0",
        wire.subscribe(v, 1, { { "a", 0 } }) } do
        assert.equal("", answer(bytes))
      end
    end)

    it("names MQTT" .. tags(v, { [4] = "3.1.2-1", [5] = "3.1.2-1" }), function()
      for _, name in ipairs { "MQTX", "mqtt", "MQT", "MQTTT", "" } do
        assert.equal("", answer(connect(v, 2, s2 "c", name)))
      end
    end)

    it("is answered by CONNACK alone" .. tags(v, { [4] = "3.1.4-4, 3.2.0-1, 3.2.2-3",
      [5] = "3.1.4-5, 3.2.0-1, 3.2.2-1, 3.2.2-3, 3.2.2-8" }), function()
      local got = answer(wire.connect { id = "c", version = v } .. "\xE0\0")
      if v == 4 then
        assert.equal("\x20\2\0\0", got)
      else
        assert.equal("\x20", got:sub(1, 1))
        assert.equal("\0\0", got:sub(3, 4))
        assert.equal(#got, got:byte(2) + 2)
      end
    end)

    it("may name itself with any letter and digit"
      .. tags(v, { [4] = "3.1.3-5", [5] = "3.1.3-5" }), function()
      for length = 1, 23 do client({ id = ALL:sub(length, 2 * length - 1), version = v }):drop() end
      client({ id = ALL:sub(-23), version = v }):disconnect()
    end)

    it("has its fields in their order" .. tags(v, { [4] = "3.1.3-1", [5] = "3.1.3-1" }), function()
      local sub = client { id = "sub", version = v }
      sub:subscribe("order", 1)
      Mqtt.connect(host.ports.locked, { id = "c", version = v, user = "ann", password = "secret",
        will = { topic = "order", payload = "will", qos = 1 } }):drop()
      assert.equal("will", sub:receive().payload)
      sub:disconnect()
    end)

    it("is told of a session that there is, and of no other"
      .. tags(v, { [4] = "3.2.2-1, 3.2.2-2, 3.2.2-3, 3.1.2-4, 3.1.2-6, 3.1.4-3",
        [5] = "3.2.2-2, 3.2.2-3, 3.1.2-4, 3.1.2-5, 3.1.2-6, 3.1.4-4" }), function()
      local function present(clean)
        local c = client { id = "present", version = v, clean = clean,
          props = { session_expiry = 100 } }
        c:disconnect()
        return c.connack.present
      end
      assert.is_false(present(false))
      assert.is_true(present(false))
      assert.is_true(present(false))
      assert.is_false(present(true))
      assert.equal(v == 5, present(false)) -- MQTT 5: clean start, but it was to be kept
      assert.is_false(present(true))
    end)

    it("with a refused client identifier is closed"
      .. tags(v, { [4] = "3.1.3-9, 3.2.2-4, 3.2.2-5",
        [5] = "3.1.3-8, 3.2.2-6, 3.2.2-7, 4.13.2-1" }), function()
      local got = answer(wire.connect { id = ("x"):rep(257), version = v })
      assert.equal(v == 4 and "\0\2" or "\0\x85", got:sub(3, 4))
      assert.equal(#got, got:byte(2) + 2)
      got = answer(wire.connect { id = "", version = v }, host.ports.small) -- it gives none
      assert.equal(v == 4 and "\0\2" or "\0\x85", got:sub(3, 4))
    end)

    it("that is refused takes along what follows it"
      .. tags(v, { [4] = "3.1.4-5, 3.2.2-4, 3.2.2-5",
        [5] = "3.1.4-2, 3.1.4-6, 3.2.2-6, 3.2.2-7, 3.14.0-1, 4.13.2-1" }), function()
      local sub = client { id = "sub", version = v }
      sub:subscribe("#", 0)
      for _, refused in ipairs {
        { v == 4 and "\4" or "\x86", { user = "ann", password = "wrong" } },
        { v == 4 and "\5" or "\x87", {} },
      } do
        local options = { id = "sub", version = v, clean = false, user = refused[2].user,
          password = refused[2].password, will = { topic = "will", payload = "x" } }
        local got = answer(wire.connect(options) .. wire.publish(v, "t", "x")
          .. wire.subscribe(v, 1, { { "a", 0 } }), host.ports.locked)
        assert.equal("\x20", got:sub(1, 1))
        assert.equal("\0" .. refused[1], got:sub(3, 4))
        assert.equal(#got, got:byte(2) + 2)
      end
      assert.same({}, sub:settle()) -- neither was it taken over
      sub:disconnect()
    end)

    it("that repeats a client identifier closes the older connection"
      .. tags(v, { [4] = "3.1.4-2", [5] = "3.1.4-3" }), function()
      local old = client { id = "twin", version = v }
      local new = client { id = "twin", version = v }
      old:dismissed(0x8E)
      new:settle()
      new:disconnect()
    end)
  end)
end

describe("MQTT 3.1.1 CONNECT", function()
  setup(start)
  teardown(function() host:stop() Host.cleanup() end)

  it("of another level is told the code for that [3.1.1: 3.1.2-2, 3.2.2-4, 3.2.2-5]", function()
    for _, level in ipairs { 0, 1, 2, 3, 0x83, 0x84 } do -- the last two: other brokers' bridges
      assert.equal("\x20\2\0\1", answer(connect(level, 2, s2 "c")))
    end
  end)

  it("without an identifier is given one [3.1.1: 3.1.3-6]", function()
    local one, two = client { id = "", version = 4 }, client { id = "", version = 4 }
    two:subscribe("t", 1)
    one:publish("t", "to the other", { qos = 1 })
    assert.equal("to the other", two:receive().payload)
    one:disconnect()
    two:disconnect()
  end)

  it("without an identifier has a clean session [3.1.1: 3.1.3-7, 3.1.3-8, 3.2.2-4, 3.2.2-5]",
    function()
      assert.equal("\x20\2\0\2", answer(wire.connect { id = "", version = 4, clean = false }))
    end)
end)

describe("MQTT 5.0 CONNECT", function()
  setup(start)
  teardown(function() host:stop() Host.cleanup() end)

  it("of another version is told so [5.0: 3.1.2-2, 3.2.2-7]", function()
    for _, level in ipairs { 6, 7, 127, 255 } do
      local got = answer(connect(level, 2, "\0" .. s2 "c"))
      assert.equal("\0\x84", got:sub(3, 4))
    end
  end)

  it("without an identifier is assigned one [5.0: 3.1.3-6, 3.1.3-7, 3.2.2-16]", function()
    local seen = {}
    for i = 1, 10 do
      local c = client { id = "", clean = i % 2 == 0, props = { session_expiry = 100 } }
      local id = c.connack.props.assigned_id
      assert.is_false(c.connack.present)
      assert.is_nil(seen[id])
      seen[id] = true
      c:subscribe("assigned/" .. i, 1)
      c:disconnect()
      c = client { id = id, clean = false, props = { session_expiry = 0 } }
      assert.is_true(c.connack.present)
      assert.is_nil(c.connack.props.assigned_id)
      c:publish("assigned/" .. i, "mine")
      assert.equal("mine", c:receive().payload)
      c:disconnect()
    end
  end)

  it("is told the highest QoS, and may wish for more [5.0: 3.2.2-9, 3.2.2-10]", function()
    for name, max in pairs { small = 0, middle = 1, mqtt = 2 } do
      local c = Mqtt.connect(host.ports[name], { id = "c" })
      assert.equal(max < 2 and max or nil, c.connack.props.maximum_qos)
      assert.same({ 0, math.min(1, max), max }, c:subscribe { { "a", 0 }, { "b", 1 }, { "c", 2 } })
      c:disconnect()
    end
  end)

  it("with a will of a higher QoS is refused [5.0: 3.2.2-12]", function()
    for qos = 1, 2 do
      local will = { topic = "w", payload = "x", qos = qos }
      local got = answer(wire.connect { id = "c", version = 5, will = will }, host.ports.small)
      assert.equal("\0\x9B", got:sub(3, 4))
    end
  end)

  it("with a will to retain where nothing is retained is refused [5.0: 3.2.2-13]", function()
    local will = { topic = "w", retain = true }
    local got = answer(wire.connect { id = "c", version = 5, will = will }, host.ports.small)
    assert.equal("\0\x9A", got:sub(3, 4))
  end)

  it("with an authentication method that is not known is refused "
    .. "[5.0: 4.12.0-1, 4.12.0-4, 3.2.2-7]", function()
    for _, method in ipairs { "SCRAM-SHA-1", "", "x" } do
      for _, data in ipairs { "", "\x16\0\1x" } do
        local got = answer(wire.connect { id = "c", version = 5,
          props = "\x15" .. s2(method) .. data })
        assert.equal("\0\x8C", got:sub(3, 4))
      end
    end
  end)

  it("without an authentication method gets none back, and no AUTH [5.0: 4.12.0-6]", function()
    local c = Mqtt.connect(host.ports.locked, { id = "c", user = "ann", password = "secret" })
    assert.is_nil(c.connack.props.auth_method)
    assert.is_nil(c.connack.props.auth_data)
    assert.same({}, c:settle())
    c:disconnect()
  end)

  it("of a client that takes small packets gets a CONNACK without words "
    .. "[5.0: 3.2.2-19, 3.2.2-20, 3.1.2-24]", function()
    local function refused(size)
      return answer(wire.connect { id = "c", version = 5,
        props = { auth_method = "x", maximum_packet = size } })
    end
    assert.is_true(#refused(200) > 20)
    assert.equal("\x20\3\0\x8C\0", refused(20))
  end)

  it("without a server keep alive keeps its own [5.0: 3.2.2-22, 3.1.2-22]", function()
    local c = client { id = "c", keepalive = 1 }
    assert.is_nil(c.connack.props.server_keepalive)
    c:dismissed(0x8D)
  end)
end)
