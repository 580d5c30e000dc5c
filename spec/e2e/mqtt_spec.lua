-- SPDX-License-Identifier: Apache-2.0
-- MQTT through the real host: what clients do every day, in 3.1.1 and 5.0 and between the two.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local everyday = require "support.mqtt_everyday"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

for _, version in ipairs { 3, 4, 5 } do
  describe(("MQTT level %d"):format(version), function()
    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)

    everyday(_ENV, version, client)
  end)
end

describe("MQTT 5", function()
  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)

  it("carries every property to the subscriber", function()
    local sub, pub = client { id = "sub" }, client { id = "pub" }
    sub:subscribe({ { "p", 1 } }, nil, { sub_id = 300 })
    pub:publish("p", "x", { qos = 1, props = { payload_format = 1, message_expiry = 100,
      content_type = "text/plain", response_topic = "re/ply", correlation = "\0\1\2",
      user = { { "a", "1" }, { "b", "2" }, { "a", "3" } } } })
    local m = sub:receive()
    assert.same({ { "a", "1" }, { "b", "2" }, { "a", "3" } }, m.props.user)
    assert.equal("text/plain", m.props.content_type)
    assert.equal("re/ply", m.props.response_topic)
    assert.equal("\0\1\2", m.props.correlation)
    assert.equal(1, m.props.payload_format)
    assert.same({ 300 }, m.props.sub_ids)
    assert.is_true(m.props.message_expiry > 90 and m.props.message_expiry <= 100)
    sub:disconnect()
    pub:disconnect()
  end)

  it("is understood by 3.1.1 without its properties, and the other way round", function()
    local five, four = client { id = "five" }, client { id = "four", version = 4 }
    five:subscribe("to/five", 1)
    four:subscribe("to/four", 1)
    five:publish("to/four", "x", { qos = 1, props = { content_type = "json" } })
    assert.equal("x", four:receive().payload)
    four:publish("to/five", "y", { qos = 1 })
    local m = five:receive()
    assert.equal("y", m.payload)
    assert.same({}, m.props)
    five:disconnect()
    four:disconnect()
  end)

  it("says when nobody was there", function()
    local c = client { id = "c" }
    assert.equal(0x10, c:publish("nobody/here", "x", { qos = 1 }).reason)
    c:subscribe("nobody/here", 0)
    c:send(wire.publish(5, "nobody/here", "x", { qos = 1, packet_id = 77 }))
    local first, second = c:read(), c:read()
    local ack = first.type == "PUBACK" and first or second
    assert.equal(0, ack.reason)
    c:disconnect()
  end)

  it("honours no local, retain as published and retain handling "
    .. "[5.0: 3.3.1-10, 3.3.1-11, 3.3.1-13, 3.8.3-3]", function()
    local c, other = client { id = "c" }, client { id = "other" }
    c:subscribe { { "o/#", 0x04 } } -- no local
    c:publish("o/1", "mine", { qos = 1 })
    other:publish("o/2", "theirs", { qos = 1, retain = true })
    assert.equal("theirs", c:receive().payload)
    c:unsubscribe "o/#"
    c:subscribe { { "o/2", 0x08 } } -- as published
    assert.is_true(c:receive().retain)
    other:publish("o/2", "again", { qos = 1, retain = true })
    assert.is_true(c:receive().retain)
    c:subscribe { { "o/2", 0x10 } } -- only when new
    c:subscribe { { "o/+", 0x20 } } -- never
    assert.same({}, c:settle())
    other:publish("o/2", "more", { qos = 1, retain = true })
    assert.is_false(c:receive().retain)
    other:publish("o/2", "", { qos = 1, retain = true })
    c:drop()
    other:disconnect()
  end)

  it("shares a subscription among its members", function()
    local members, pub = {}, client { id = "pub" }
    for i = 1, 3 do
      members[i] = client { id = "m" .. i }
      members[i]:subscribe("$share/group/s/#", 1)
    end
    for i = 1, 30 do pub:publish("s/x", tostring(i), { qos = 1 }) end
    local total, most = 0, 0
    for _, member in ipairs(members) do
      local n = 0
      Host.eventually(function()
        for _, p in ipairs(member:settle()) do
          if p.type == "PUBLISH" then
            n = n + 1
            member:send(wire.ack("PUBACK", p.packet_id))
          end
        end
        return n >= 10
      end, "a member's share of 30")
      total, most = total + n, math.max(most, n)
    end
    assert.equal(30, total)
    assert.equal(10, most)
    for _, member in ipairs(members) do member:disconnect() end
    pub:disconnect()
  end)

  it("uses topic aliases both ways", function()
    local sub = client { id = "sub", props = { alias_maximum = 5 } }
    local pub = client { id = "pub" }
    assert.is_true(pub.connack.props.alias_maximum > 0)
    sub:subscribe("al/ias", 0)
    pub:publish("al/ias", "1", { props = { alias = 1 } })
    pub:publish("", "2", { props = { alias = 1 } })
    local one, two = sub:receive(), sub:receive()
    assert.equal("al/ias", one.topic)
    assert.equal("", two.topic)
    assert.equal(one.props.alias, two.props.alias)
    assert.equal("2", two.payload)
    sub:disconnect()
    pub:disconnect()
  end)

  it("assigns a client id [5.0: 3.2.2-16]", function()
    local c = client { id = "" }
    assert.is_true(#c.connack.props.assigned_id > 10)
    c:disconnect()
  end)
end)
