-- SPDX-License-Identifier: Apache-2.0
-- What MQTT 5 added to the delivery of messages, statement by statement: refusals, what the
-- client can take at once and at all, topic aliases of the server, expiry of what has begun.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

local function client(id, props)
  return Mqtt.connect(host.ports.mqtt, { id = id, props = props })
end

-- A client whose session stays.
local function keeper(more)
  local props = { session_expiry = 100 }
  for key, value in pairs(more or {}) do props[key] = value end
  return Mqtt.connect(host.ports.mqtt, { id = "keeper", clean = false, props = props })
end

describe("MQTT 5.0 delivery", function()
  local pub

  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)
  before_each(function() pub = client "pub" end)
  after_each(function()
    pub:drop()
    client "keeper":disconnect()
  end)

  it("does not repeat what the client refused [5.0: 4.4.0-2]", function()
    local c = keeper()
    c:subscribe("t", 2)
    for qos = 1, 2 do
      for _, reason in ipairs { 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99 } do
        pub:publish("t", "x", { qos = qos })
        local m = c:expect("x", false)
        c:send(wire.ack(qos == 1 and "PUBACK" or "PUBREC", m.packet_id, reason))
        assert.same({}, c:settle()) -- no PUBREL either
      end
    end
    c:drop()
    c = keeper()
    assert.same({}, c:settle())
    c:drop()
  end)

  it("stops at the receive maximum, but for all else "
    .. "[5.0: 3.3.4-9, 3.3.4-10, 4.9.0-1, 4.9.0-2, 4.9.0-3]", function()
    for window = 1, 3 do
      local c = client("window", { receive_maximum = window })
      c:subscribe("t", 2)
      for i = 1, 8 do pub:publish("t", tostring(i), { qos = 1 + i % 2 }) end
      local open, last = {}, 9 -- the ninth is its own
      for i = 1, window do open[i] = c:expect(tostring(i), false) end
      assert.same({}, c:settle()) -- PINGRESP comes, and no other message
      assert.same({ 1 }, c:subscribe("u", 1))
      c:send(wire.publish(5, "u", "9", { qos = 1, packet_id = 1 }))
      assert.equal(0, c:read("PUBACK").reason)
      for i = 1, last do
        local m = table.remove(open, 1)
        if m.qos == 1 then
          c:send(wire.ack("PUBACK", m.packet_id))
        else
          c:send(wire.ack("PUBREC", m.packet_id))
          c:read "PUBREL"
          assert.same({}, c:settle()) -- PUBCOMP frees the place, not PUBREC
          c:send(wire.ack("PUBCOMP", m.packet_id))
        end
        if i + window <= last then open[#open + 1] = c:expect(tostring(i + window), false) end
      end
      c:disconnect()
    end
  end)

  it("leaves out what the client cannot take, as if it had been sent [5.0: 3.1.2-24, 3.1.2-25]",
    function()
      local c = keeper({ maximum_packet = 60, receive_maximum = 1 })
      c:subscribe("size", 2)
      for qos = 0, 2 do
        for _ = 1, 3 do pub:publish("size", ("x"):rep(100), { qos = qos }) end
        pub:publish("size", "fits", { qos = qos })
        assert.equal("fits", c:receive().payload)
        for size = 40, 60 do pub:publish("size", ("x"):rep(size), { qos = qos }) end
        pub:publish("size", "end", { qos = qos })
        repeat
          local m = c:receive()
          assert.is_true(m.size <= 60)
        until m.payload == "end"
        c:settle()
      end
      c:drop()
      pub:publish("size", ("x"):rep(100), { qos = 1 }) -- while it is away
      pub:publish("size", "away", { qos = 1 })
      pub:publish("kept/1", ("x"):rep(100), { qos = 1, retain = true })
      pub:publish("kept/2", "kept", { qos = 1, retain = true })
      c = keeper({ maximum_packet = 60, receive_maximum = 1 })
      assert.equal("away", c:receive().payload)
      c:subscribe("kept/+", 1)
      assert.equal("kept", c:receive().payload)
      assert.same({}, c:settle())
      c:drop()
      c = keeper() -- a new limit does not bring them back
      assert.same({}, c:settle())
      c:drop()
      for i = 1, 2 do pub:publish("kept/" .. i, "", { qos = 1, retain = true }) end
    end)

  it("sets no alias past the client's maximum, and none without one "
    .. "[5.0: 3.1.2-26, 3.1.2-27, 3.3.2-8, 3.3.2-11, 3.3.2-7]", function()
    for _, max in ipairs { 0, 1, 3, 16 } do
      for _ = 1, 2 do -- the second connection knows nothing of the first one's
        local c = keeper({ alias_maximum = max > 0 and max or nil })
        c:subscribe("alias/#", 0)
        local topics, seen = {}, 0
        for round = 1, 2 do
          for i = 1, 20 do
            local topic = ("alias/%d"):format(i)
            pub:publish(topic, topic .. round)
            local m = c:receive()
            local alias = m.props.alias
            assert.is_true(alias == nil or (alias >= 1 and alias <= max))
            if alias and m.topic ~= "" then topics[alias] = m.topic end
            if m.topic == "" then seen = seen + 1 end
            local name = m.topic ~= "" and m.topic or topics[alias]
            assert.same({ topic, topic .. round }, { name, m.payload })
          end
        end
        assert.equal(math.min(max, 16), seen)
        c:drop()
      end
    end
  end)

  it("finishes what it began, even if that expires meanwhile [5.0: 4.3.3-7]", function()
    local c = keeper()
    c:subscribe("t", 2)
    pub:publish("t", "one", { qos = 1, props = { message_expiry = 2 } })
    pub:publish("t", "two", { qos = 2, props = { message_expiry = 2 } })
    local one, two = c:expect("one", false), c:expect("two", false)
    Host.pass(2200)
    c:drop()
    c = keeper()
    c:expect("one", true, one.packet_id)
    c:expect("two", true, two.packet_id)
    c:send(wire.ack("PUBREC", two.packet_id))
    assert.equal(0, c:read("PUBREL").reason)
    c:drop()
  end)
end)
