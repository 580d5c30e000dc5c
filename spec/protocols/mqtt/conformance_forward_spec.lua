-- SPDX-License-Identifier: Apache-2.0
-- What MQTT 5 added to PUBLISH, statement by statement: refusals, properties on their way to
-- the subscribers, expiry, topic aliases of a client.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

local function client(id, more) return Mqtt.connect(host.ports.mqtt, { id = id }, more) end

describe("MQTT 5.0 PUBLISH", function()
  local sub, pub

  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)
  before_each(function() sub, pub = client "sub", client "pub" end)
  after_each(function()
    sub:drop()
    pub:drop()
  end)

  it("of QoS 2 that was refused is no duplicate of the next [5.0: 4.3.3-9]", function()
    sub:subscribe("t", 2)
    pub:send(wire.publish(5, "$SYS/x", "no", { qos = 2, packet_id = 3 }))
    assert.equal(0x87, pub:read("PUBREC").reason)
    pub:send(wire.publish(5, "t", "yes", { qos = 2, packet_id = 3 }))
    assert.equal(0, pub:read("PUBREC").reason)
    assert.equal("yes", sub:receive().payload)
    pub:send(wire.ack("PUBREL", 3))
    assert.equal(0, pub:read("PUBCOMP").reason)
  end)

  it("brings its properties to every subscriber as they came "
    .. "[5.0: 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20]", function()
    local user = {}
    for i = 1, 50 do user[i] = { "n" .. i % 7, ("v"):rep(i) } end
    local props = { payload_format = 1, content_type = "text/é", response_topic = "re/ply",
      correlation = "\0\xFF\1", user = user }
    sub:subscribe("p/#", 2)
    for qos = 0, 2 do
      pub:publish("p/" .. qos, "x", { qos = qos, props = props })
      assert.same(props, sub:receive().props)
    end
    pub:publish("p/kept", "x", { qos = 1, retain = true, props = props })
    assert.same(props, sub:receive().props)
    local late = client "late"
    late:subscribe("p/kept", 0)
    assert.same(props, late:receive().props)
    late:disconnect()
    pub:publish("p/zero", "x", { props = { payload_format = 0, content_type = "" } })
    local m = sub:receive()
    assert.same({ 0, "" }, { m.props.payload_format, m.props.content_type })
  end)

  it("expires where it waits, and counts down [5.0: 3.3.2-5, 3.3.2-6, 4.3.3-13]", function()
    local away = { clean = false, props = { session_expiry = 100 } }
    local c = client("away", away)
    c:subscribe("e/#", 2)
    c:disconnect()
    pub:publish("e/short", "x", { qos = 1, props = { message_expiry = 1 } })
    pub:publish("e/long", "x", { qos = 1, props = { message_expiry = 100 } })
    pub:publish("e/kept", "x", { qos = 1, retain = true, props = { message_expiry = 1 } })
    pub:send(wire.publish(5, "e/two", "x",
      { qos = 2, packet_id = 5, props = { message_expiry = 1 } }))
    assert.equal(0, pub:read("PUBREC").reason)
    Host.pass(1100)
    pub:send(wire.ack("PUBREL", 5))
    assert.equal(0, pub:read("PUBCOMP").reason)
    c = client("away", away)
    local m = c:receive()
    assert.equal("e/long", m.topic)
    assert.is_true(m.props.message_expiry < 100 and m.props.message_expiry > 50)
    assert.same({}, c:settle())
    c:drop()
    local late = client "late"
    late:subscribe { { "e/kept", 1 }, { "none", 0 } }
    assert.same({}, late:settle())
    late:drop()
  end)

  it("may use every alias up to the maximum, and set it anew "
    .. "[5.0: 3.3.2-12, 3.2.2-17]", function()
    local max = pub.connack.props.alias_maximum
    sub:subscribe("al/#", 0)
    for round = 1, 2 do
      for alias = 1, max do
        pub:publish(("al/%d/%d"):format(round, alias), "named", { props = { alias = alias } })
        pub:publish("", "short", { props = { alias = alias } })
      end
    end
    for round = 1, 2 do
      for alias = 1, max do
        for _, payload in ipairs { "named", "short" } do
          local m = sub:receive()
          assert.equal(("al/%d/%d"):format(round, alias), m.topic)
          assert.equal(payload, m.payload)
        end
      end
    end
    pub:send(wire.publish(5, "t", "x", { props = { alias = max + 1 } }))
    pub:dismissed(0x94)
  end)

  it("cannot use an alias of another connection [5.0: 3.3.2-7]", function()
    local options = { clean = false, props = { session_expiry = 100 } }
    local c = client("alias", options)
    c:publish("al", "x", { props = { alias = 1 } })
    c:settle()
    c:disconnect()
    c = client("alias", options)
    assert.is_true(c.connack.present)
    c:send(wire.publish(5, "", "x", { props = { alias = 1 } }))
    c:dismissed(0x82)
  end)
end)
