-- SPDX-License-Identifier: Apache-2.0
-- The bytes against mqtt-packet, a reading of the standards that is not ours: it finds in every
-- packet of the server what we find there, and the server takes every packet that it makes.
local cjson = require "cjson"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host, oracle

-- Our names of properties, its names.
local PROPS = {
  payload_format = "payloadFormatIndicator", message_expiry = "messageExpiryInterval",
  content_type = "contentType", response_topic = "responseTopic",
  correlation = "correlationData", user = "userProperties", sub_ids = "subscriptionIdentifier",
  session_expiry = "sessionExpiryInterval", assigned_id = "assignedClientIdentifier",
  server_keepalive = "serverKeepAlive", response_info = "responseInformation",
  reason = "reasonString", receive_maximum = "receiveMaximum",
  alias_maximum = "topicAliasMaximum", alias = "topicAlias", maximum_qos = "maximumQoS",
  retain_available = "retainAvailable", maximum_packet = "maximumPacketSize",
  wildcard_available = "wildcardSubscriptionAvailable",
  sub_ids_available = "subscriptionIdentifiersAvailable",
  shared_available = "sharedSubscriptionAvailable",
}

local function to_hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function binary(bytes) return { hex = to_hex(bytes) } end

local function ask(request)
  oracle:write(cjson.encode(request) .. "\n")
  local reply = cjson.decode(oracle:line())
  if reply.error then error("mqtt-packet: " .. reply.error, 2) end
  return reply
end

local function generate(version, packet)
  return Host.bytes(ask({ version = version, generate = packet }).hex)
end

local function start()
  oracle = Host.spawn("node", { "spec/support/mqtt_packet.js" },
    { env = { NODE_PATH = "/usr/share/nodejs" } })
  host = Host.start { config = { users = { { user = "u", password = "p" } }, listeners = {
    { name = "mqtt", adapter = "mqtt", anonymous = true },
    { name = "small", adapter = "mqtt", anonymous = true, options = {
      max_packet_size = "1KiB", receive_maximum = 3, max_qos = 1, retain = false,
      shared_subscriptions = false, wildcard_subscriptions = false, subscription_ids = false,
      keepalive_max = "20s", session_expiry_max = "1m", response_information = "re/" } },
  } } }
end

local function stop()
  assert.equal(0, (oracle:wait()))
  host:stop()
  Host.cleanup()
end

-- A property as we read it, in its way of saying it.
local function in_its_words(name, value)
  if name == "correlation" then return binary(value) end
  if name == "sub_ids" then return #value == 1 and value[1] or value end
  if name:find "available$" or name == "payload_format" then return value == 1 end
  if name ~= "user" then return value end
  local map = {}
  for _, pair in ipairs(value) do
    local known = map[pair[1]]
    if type(known) == "table" then known[#known + 1] = pair[2]
    else map[pair[1]] = known and { known, pair[2] } or pair[2] end
  end
  return map
end

local function expect_same(ours, its, version)
  assert.equal(ours.type:lower(), its.cmd)
  if its.messageId ~= nil then assert.equal(ours.packet_id, its.messageId) end
  if ours.type == "PUBLISH" then
    assert.same({ ours.topic, ours.qos, ours.retain, ours.dup, to_hex(ours.payload) },
      { its.topic, its.qos, its.retain, its.dup, its.payload.hex })
  end
  if ours.type == "CONNACK" then assert.equal(ours.present, its.sessionPresent) end
  if ours.reason then assert.equal(ours.reason, its.reasonCode or its.returnCode or 0) end
  if ours.codes and #ours.codes > 0 then assert.same(ours.codes, its.granted) end
  local props = {}
  for name, value in pairs(ours.props or {}) do props[PROPS[name]] = in_its_words(name, value) end
  assert.same(props, version == 5 and its.properties or {}, ours.type)
end

local function packets_of(version, bytes)
  local list, at = {}, 1
  while true do
    local packet, after = wire.decode(version, bytes, at)
    if not packet then return list end
    list[#list + 1], at, list[packet.type] = packet, after, true
  end
end

-- Sends bytes and awaits the packet that they bring, and so on to the end of the connection.
-- What came is read twice. @return the types that came
local function compare(version, port, ...)
  local c, talk = Mqtt.open(port, version), { ... }
  for i = 1, #talk, 2 do
    c:send(talk[i])
    Host.await(function()
      local wanted = talk[i + 1]
      return wanted and packets_of(version, c.tcp.data)[wanted] or not wanted and c.tcp.ended
    end, talk[i + 1] or "the end")
  end
  local got = c.tcp:read_all()
  local ours = packets_of(version, got)
  local its = ask({ version = version, parse = to_hex(got) }).packets
  assert.equal(#ours, #its)
  local types = {}
  for i, packet in ipairs(ours) do
    types[packet.type] = true
    expect_same(packet, its[i], version)
  end
  return types
end

local function kinds(...)
  local set = {}
  for _, name in ipairs { ... } do set[name] = true end
  return set
end

local ALL_PROPS = { payload_format = 1, message_expiry = 100, content_type = "text/plain",
  response_topic = "re/ply", correlation = "\0\1\xFF",
  user = { { "a", "1" }, { "b", "2" }, { "a", "3" } } }

for v = 4, 5 do
  describe("mqtt-packet reads " .. Mqtt.names[v], function()
    setup(start)
    teardown(stop)

    it("packets of the server as they were meant"
      .. tags(v, { [4] = "2.2.2-1", [5] = "2.1.3-1, 2.2.2-1" }), function()
      local seen = compare(v, host.ports.mqtt, wire.connect { id = v == 5 and "" or "c",
          version = v, props = { alias_maximum = 5, session_expiry = 4000000000 } }
        .. wire.subscribe(v, 1, { { "t/+", 2 }, { "t/#/", 1 }, { "t/0", 0 }, { "t/1", 1 } },
          { sub_id = v == 5 and 268435455 or nil }), "SUBACK",
        wire.publish(v, "t/0", "zero", { props = ALL_PROPS })
        .. wire.publish(v, "t/1", "one", { qos = 1, packet_id = 2 })
        .. wire.publish(v, "t/2", "", { qos = 2, packet_id = 65535 })
        .. wire.publish(v, "t/2", ("x"):rep(20000), { qos = 2, packet_id = 3 })
        .. wire.ack("PUBREL", 65535) .. wire.ack("PUBREL", 4711) .. wire.ack("PUBREC", 4711)
        .. wire.unsubscribe(v, 4, { "t/0", "t/none" }), "UNSUBACK", "\xC0\0\0\0")
      local want = kinds("CONNACK", "SUBACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
        "UNSUBACK", "PINGRESP")
      want.DISCONNECT = v == 5 or nil
      assert.same(want, seen)
    end)

    it("refusals, and the limits of a listener" .. tags(v, { [5] = "3.2.2-9" }), function()
      local port = host.ports.small
      for _, options in ipairs { { id = ("x"):rep(300) }, { id = "c" },
        { id = "c", props = { want_response = 1, session_expiry = 4000 } } } do
        options.version = v
        assert.same(kinds "CONNACK", compare(v, port, wire.connect(options) .. "\xE0\0"))
      end
      compare(v, port, wire.connect { id = "c", version = v }
        .. wire.subscribe(v, 1, { { "$share/g/a", 0 }, { "a/+", 0 }, { "a", 2 } }), "SUBACK",
        wire.publish(v, "$SYS/x", "", { qos = 1 }), "PUBACK", "\xE0\0")
    end)
  end)

  describe("mqtt-packet makes " .. Mqtt.names[v], function()
    setup(start)
    teardown(stop)

    local function only5(props) return v == 5 and props or nil end

    it("packets that the server takes as they were meant"
      .. tags(v, { [4] = "7.0.0-2" }), function()
      local sub = Mqtt.connect(host.ports.mqtt, { id = "sub", version = v })
      sub:subscribe("#", 2)
      local its = only5 { payloadFormatIndicator = true, messageExpiryInterval = 100,
        contentType = "text/plain", responseTopic = "re/ply",
        correlationData = binary "\0\1\xFF", userProperties = { a = { "1", "3" } } }
      local ours = { payload_format = 1, content_type = "text/plain", response_topic = "re/ply",
        correlation = "\0\1\xFF", user = { { "a", "1" }, { "a", "3" } } }
      local function expect(topic, payload, qos)
        local m = sub:receive()
        assert.same({ topic, payload, qos }, { m.topic, m.payload, m.qos })
        if v == 5 then
          local left = m.props.message_expiry
          assert.is_true(left > 90 and left <= 100)
          m.props.message_expiry = nil
          assert.same(ours, m.props)
        end
      end

      local c = Mqtt.open(host.ports.mqtt, v)
      local function send(packet) c:send(generate(v, packet)) end
      send { cmd = "connect", protocolId = "MQTT", protocolVersion = v, clean = false,
        clientId = "made", keepalive = 30, username = "u", password = binary "p",
        will = { topic = "will", payload = binary "\0gone", qos = 2, retain = false,
          properties = its },
        properties = only5 { sessionExpiryInterval = 60, receiveMaximum = 5, topicAliasMaximum = 3,
          maximumPacketSize = 100000, requestResponseInformation = true,
          requestProblemInformation = true, userProperties = { x = "y" } } }
      assert.equal(0, c:read("CONNACK").reason)
      send { cmd = "subscribe", messageId = 9, subscriptions = { { topic = "own/+", qos = 1,
        nl = false, rap = true, rh = 0 }, { topic = "own/x", qos = 2, nl = false, rap = false,
        rh = 0 } }, properties = only5 { subscriptionIdentifier = 129 } }
      local suback = c:read "SUBACK"
      assert.same({ 9, 1, 2 }, { suback.packet_id, suback.codes[1], suback.codes[2] })
      for qos = 0, 2 do
        send { cmd = "publish", topic = "made", payload = binary("m" .. qos), qos = qos,
          messageId = 10 + qos, dup = false, retain = false, properties = its }
      end
      assert.equal(11, c:read("PUBACK").packet_id)
      assert.equal(12, c:read("PUBREC").packet_id)
      send { cmd = "pubrel", messageId = 12, reasonCode = only5(0) }
      assert.equal(0, c:read("PUBCOMP").reason)
      for qos = 0, 2 do expect("made", "m" .. qos, qos) end
      assert.same({}, sub:settle())

      sub:send(wire.publish(v, "own/x", "one", { qos = 1, packet_id = 1 }))
      local m = c:read "PUBLISH"
      if v == 5 then assert.same({ 129, 129 }, m.props.sub_ids) end
      send { cmd = "puback", messageId = m.packet_id, reasonCode = only5(0x80),
        properties = only5 { reasonString = "no", userProperties = { a = "b" } } }
      sub:send(wire.publish(v, "own/x", "two", { qos = 2, packet_id = 2 }))
      m = c:read "PUBLISH"
      send { cmd = "pubrec", messageId = m.packet_id, reasonCode = only5(0) }
      assert.equal(m.packet_id, c:read("PUBREL").packet_id)
      send { cmd = "pubcomp", messageId = m.packet_id, reasonCode = only5(0) }
      send { cmd = "unsubscribe", messageId = 20, unsubscriptions = { "own/+", "none" } }
      assert.equal(20, c:read("UNSUBACK").packet_id)
      send { cmd = "pingreq" }
      c:read "PINGRESP"
      sub:drop()
      sub = Mqtt.connect(host.ports.mqtt, { id = "sub", version = v })
      sub:subscribe("will", 2)
      if v == 5 then
        send { cmd = "disconnect", reasonCode = 4, properties = { sessionExpiryInterval = 0,
          reasonString = "as asked", userProperties = { a = "b" } } }
      else
        c:drop()
      end
      expect("will", "\0gone", 2)
      sub:drop()
    end)
  end)
end
