-- SPDX-License-Identifier: Apache-2.0
-- What clients may not do: each mistake ends its own connection with the standard's reason, is
-- counted, and nobody else notices.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

describe("MQTT mistakes", function()
  local witness
  setup(function()
    host = Host.start {}
    witness = client { id = "witness" }
    witness:subscribe("w", 0)
  end)
  teardown(function()
    witness:publish("w", "still here")
    assert.equal("still here", witness:receive().payload)
    witness:disconnect()
    host:stop()
    Host.cleanup()
  end)

  it("of a session that would live on after it was to end end it", function()
    local c = client { id = "prolongs" }
    c:send(wire.disconnect(5, 0, { session_expiry = 9 }))
    c:dismissed(0x82)
  end)

  it("are told even to a client that goes on talking [5.0: 4.13.1-1]", function()
    local c = client { id = "talks" }
    c.tcp:pause()
    c:send("\0\0")
    for _ = 1, 64 do c:send(("x"):rep(65536)) end
    c:send "\0"
    Host.await(function() return c.tcp.handle:get_write_queue_size() == 0 end, "4 MB to leave")
    c.tcp:resume()
    assert.equal(0x81, c:read("DISCONNECT").reason)
    assert.equal("EOF", c:closed())
  end)

  it("before CONNECT end the connection", function()
    local strangers = { "\xC0\0", "GET / HTTP/1.1\r\n\r\n", "\x16\3\1\2\0\1\0",
      "\x10\xFF\xFF\xFF\xFF" }
    for _, bytes in ipairs(strangers) do
      local c = Mqtt.open(host.ports.mqtt)
      c:send(bytes)
      c:closed()
    end
  end)

  it("in CONNECT are told in its own words", function()
    local cases = {
      { 0x84, { id = "x", version = 6 } },
      { 0x81, { id = "x", version = 5, flags = 3 } },
      { 0x82, { id = "x", version = 5, props = { receive_maximum = 0 } } },
      { 0x8C, { id = "x", version = 5, props = { auth_method = "SCRAM" } } },
      { 0x85, { id = ("x"):rep(300), version = 5 } },
      { 0x90, { id = "x", version = 5, will = { topic = "a/#" } } },
      { 0x82, { id = "x", version = 5, props = { auth_data = "x" } } },
    }
    for _, case in ipairs(cases) do
      local c = Mqtt.open(host.ports.mqtt, 5)
      c:send(wire.connect(case[2]))
      assert.equal(case[1], c:read("CONNACK").reason)
      c:closed()
    end
    local old = Mqtt.open(host.ports.mqtt, 4)
    old:send(wire.connect { id = "", version = 4, clean = false })
    assert.equal(2, old:read("CONNACK").reason)
    old:closed()
  end)

  it("may come one byte at a time [3.1.1: 7.1.1-1] [5.0: 4.2.0-1]", function()
    for version = 4, 5 do
      local c = Mqtt.open(host.ports.mqtt, version)
      local bytes = wire.connect { id = "slow", version = version }
        .. wire.subscribe(version, 1, { { "slow", 1 } })
        .. wire.publish(version, "slow", "x", { qos = 1 })
      for i = 1, #bytes do c:send(bytes:sub(i, i)) end
      assert.equal(0, c:read("CONNACK").reason)
      local kinds = {} -- in any order: §3.8.4 lets messages come before the SUBACK
      for _ = 1, 3 do kinds[c:read().type] = true end
      assert.same({ SUBACK = true, PUBLISH = true, PUBACK = true }, kinds)
      c:drop()
    end
  end)

  it("of acknowledging what was not sent are counted and forgiven", function()
    local c = client { id = "acks" }
    for _, name in ipairs { "PUBACK", "PUBCOMP" } do c:send(wire.ack(name, 4711)) end
    c:send(wire.ack("PUBREC", 4711))
    assert.equal(0x92, c:read("PUBREL").reason)
    c:send(wire.ack("PUBREL", 4711))
    assert.equal(0x92, c:read("PUBCOMP").reason)
    c:settle()
    c:disconnect()
  end)

  it("of sending more than the receive maximum end it [5.0: 3.3.4-7]", function()
    local c = client { id = "greedy" }
    local max = c.connack.props.receive_maximum
    local bytes = {}
    for i = 1, max + 1 do bytes[i] = wire.publish(5, "g", "", { qos = 2, packet_id = i }) end
    c:send(table.concat(bytes))
    for _ = 1, max do c:read "PUBREC" end
    c:dismissed(0x93)
  end)

  it("of the server's are not made: nothing exceeds the client's packet size "
    .. "[5.0: 3.1.2-24, 3.1.2-25]", function()
    local small = client { id = "small", props = { maximum_packet = 40 } }
    small:subscribe("size", 1)
    local pub = client { id = "pub" }
    pub:publish("size", ("x"):rep(100), { qos = 1 })
    pub:publish("size", "fits", { qos = 1 })
    assert.equal("fits", small:receive().payload)
    small:disconnect()
    pub:disconnect()
  end)

  it("of the server's are not made: no more in flight than the client takes "
    .. "[5.0: 3.3.4-9, 4.9.0-2]", function()
    local c = client { id = "window", props = { receive_maximum = 2 } }
    c:subscribe("window", 1)
    local pub = client { id = "pub" }
    for i = 1, 5 do pub:publish("window", tostring(i), { qos = 1 }) end
    local first, second = c:read "PUBLISH", c:read "PUBLISH"
    assert.same({}, c:settle())
    c:send(wire.ack("PUBACK", first.packet_id))
    assert.equal("3", c:read("PUBLISH").payload)
    assert.same({}, c:settle())
    assert.equal("2", second.payload)
    c:disconnect()
    pub:disconnect()
  end)
end)

describe("MQTT limits of a listener", function()
  setup(function()
    host = Host.start { config = { limits = { session_expiry = "30m" }, listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "small", adapter = "mqtt", anonymous = true, options = {
        max_packet_size = "1KiB", receive_maximum = 3, max_qos = 1, retain = false,
        shared_subscriptions = false, wildcard_subscriptions = false, subscription_ids = false,
        topic_alias_maximum = 0, keepalive_max = "20s", session_expiry_max = "1m" } },
    } } }
  end)
  teardown(function() host:stop() Host.cleanup() end)

  it("are announced [5.0: 3.2.2-9]", function()
    local c = Mqtt.connect(host.ports.small, { id = "c", props = { session_expiry = 3600 } })
    assert.same({ maximum_packet = 1024, receive_maximum = 3, maximum_qos = 1,
      retain_available = 0, shared_available = 0, wildcard_available = 0, sub_ids_available = 0,
      server_keepalive = 20, session_expiry = 60 }, c.connack.props)
    c:disconnect()
  end)

  it("are announced where they are the host's, too", function()
    local c = Mqtt.connect(host.ports.mqtt, { id = "c", props = { session_expiry = 3600 } })
    assert.equal(1800, c.connack.props.session_expiry)
    c:disconnect()
    c = Mqtt.connect(host.ports.mqtt, { id = "c", props = { session_expiry = 1800 } })
    assert.is_nil(c.connack.props.session_expiry)
    c:disconnect()
  end)

  it("are enforced [5.0: 3.2.2-11, 3.2.2-14, 3.2.2-15, 3.2.2-18]", function()
    local cases = {
      { 0x95, wire.publish(5, "t", ("x"):rep(1100)) },
      { 0x9B, wire.publish(5, "t", "x", { qos = 2 }) },
      { 0x9A, wire.publish(5, "t", "x", { retain = true }) },
      { 0x94, wire.publish(5, "t", "x", { props = { alias = 1 } }) },
    }
    for i, case in ipairs(cases) do
      local c = Mqtt.connect(host.ports.small, { id = "e" .. i })
      c:send(case[2])
      c:dismissed(case[1])
    end
    local c = Mqtt.connect(host.ports.small, { id = "subs" })
    assert.same({ 0x9E, 0xA2, 1 }, c:subscribe { { "$share/g/a", 0 }, { "a/+", 0 }, { "a", 2 } })
    assert.same({ 0xA1 }, c:subscribe({ { "a", 0 } }, nil, { sub_id = 1 }))
    c:disconnect()
  end)
end)
