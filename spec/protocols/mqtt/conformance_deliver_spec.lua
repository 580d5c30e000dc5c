-- SPDX-License-Identifier: Apache-2.0
-- PUBLISH to a client, statement by statement: identifiers, handshakes, what comes again after
-- a reconnect and what does not, order, and what the client can take.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host
local NAMES = { [4] = "MQTT 3.1.1", [5] = "MQTT 5.0" }

local function client(id, v, props)
  return Mqtt.connect(host.ports.mqtt, { id = id, version = v, props = props })
end

-- A client whose session stays.
local function keeper(v, more)
  local props = { session_expiry = 100 }
  for key, value in pairs(more or {}) do props[key] = value end
  return Mqtt.connect(host.ports.mqtt, { id = "keeper", version = v, clean = false, props = props })
end

-- The next PUBLISH must be this one; it is not answered.
local function expect(c, payload, dup, id)
  local m = c:read "PUBLISH"
  assert.equal(payload, m.payload)
  assert.equal(dup, m.dup)
  if id then assert.equal(id, m.packet_id) end
  return m
end

for v = 4, 5 do
  describe(NAMES[v] .. " delivery", function()
    local pub

    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)
    before_each(function() pub = client("pub", v) end)
    after_each(function()
      pub:drop()
      client("keeper", v):disconnect() -- ends the session
    end)

    it("gives each message a free identifier, and DUP 0" .. tags(v, {
      [4] = "2.3.1-1, 2.3.1-4, 4.3.2-1, 4.3.3-1",
      [5] = "2.2.1-4, 4.3.2-1, 4.3.2-2, 4.3.3-1, 4.3.3-2" }), function()
      local c = keeper(v)
      c:subscribe("t", 2)
      local used, free = {}, nil
      for i = 1, 24 do
        pub:publish("t", tostring(i), { qos = 1 + i % 2 })
        local m = expect(c, tostring(i), false)
        assert.equal(1 + i % 2, m.qos)
        assert.is_nil(used[m.packet_id])
        used[m.packet_id] = true
        if i % 4 == 0 and m.qos == 1 then
          c:send(wire.ack("PUBACK", m.packet_id))
          used[m.packet_id], free = nil, m.packet_id
        end
      end
      assert.is_not_nil(free)
      c:drop()
    end)

    it("sends again what was not acknowledged, in order, with DUP and the same identifier"
      .. tags(v, { [4] = "3.3.1-1, 4.1.0-1, 4.3.2-1, 4.3.3-1, 4.4.0-1, 4.6.0-1",
        [5] = "3.3.1-1, 4.1.0-1, 4.3.2-3, 4.3.3-3, 4.4.0-1" }), function()
      local c = keeper(v)
      c:subscribe("t", 2)
      local ids, payloads = {}, {}
      for i = 1, 10 do
        payloads[i] = tostring(i):rep(i % 3 == 0 and 5000 or 1) -- large ones go another way
        pub:publish("t", payloads[i], { qos = 1 + i % 2 })
        ids[i] = expect(c, payloads[i], false).packet_id
      end
      assert.same({}, c:settle()) -- not before it is back
      c:send(wire.ack("PUBACK", ids[4]))
      c:settle()
      for _ = 1, 2 do
        c:drop()
        c = keeper(v)
        for i = 1, 10 do
          if i ~= 4 then expect(c, payloads[i], true, ids[i]) end
        end
        assert.same({}, c:settle())
      end
      c:drop()
    end)

    it("answers PUBREC with PUBREL in order, and repeats that until PUBCOMP"
      .. tags(v, { [4] = "2.3.1-6, 4.3.3-1, 4.4.0-1, 4.6.0-4",
        [5] = "2.2.1-5, 4.3.3-4, 4.3.3-5, 4.3.3-6, 4.4.0-1" }), function()
      local c = keeper(v)
      c:subscribe("t", 2)
      local ids = {}
      for i = 1, 4 do
        pub:publish("t", tostring(i), { qos = 2 })
        ids[i] = expect(c, tostring(i), false).packet_id
      end
      local order = { 2, 1, 4, 3 } -- of the PUBRECs
      for _, i in ipairs(order) do c:send(wire.ack("PUBREC", ids[i])) end
      for _, i in ipairs(order) do assert.equal(ids[i], c:read("PUBREL").packet_id) end
      assert.same({}, c:settle())
      c:drop()
      c = keeper(v)
      local due = {}
      for _ = 1, 4 do due[c:read("PUBREL").packet_id] = true end
      for i = 1, 4 do assert.is_true(due[ids[i]]) end
      assert.same({}, c:settle()) -- no PUBLISH among them
      for i = 1, 4 do c:send(wire.ack("PUBCOMP", ids[i])) end
      c:settle()
      c:drop()
      c = keeper(v)
      assert.same({}, c:settle())
      c:drop()
    end)

    it("keeps the order of each publisher, topic and QoS" .. tags(v, {
      [4] = "4.6.0-5, 4.6.0-6", [5] = "4.6.0-5, 4.6.0-6" }), function()
      local subs, pubs = {}, { pub, client("other", v) }
      for i = 1, 2 do
        subs[i] = client("sub" .. i, v)
        subs[i]:subscribe("order/#", 2)
      end
      for n = 1, 60 do
        for p, c in ipairs(pubs) do
          c:publish(("order/%d"):format(n % 3), ("%d %d"):format(p, n), { qos = n % 3 })
        end
      end
      for _, sub in ipairs(subs) do
        local last = {}
        for _ = 1, 120 do
          local m = sub:receive()
          local p, n = m.payload:match "(%d+) (%d+)"
          local line = p .. m.topic .. m.qos
          assert.is_true((last[line] or 0) < tonumber(n))
          last[line] = tonumber(n)
        end
        sub:drop()
      end
      pubs[2]:drop()
    end)

    it("adds what is published to every session that matches"
      .. tags(v, { [4] = "3.1.2-5, 4.5.0-1", [5] = "3.1.2-23, 4.5.0-1" }), function()
      local c = keeper(v)
      c:subscribe("kept/#", 2)
      c:disconnect()
      local here = client("here", v)
      here:subscribe("kept/+", 1)
      for i = 1, 6 do pub:publish("kept/x", tostring(i), { qos = 1 + i % 2 }) end
      c = keeper(v)
      for i = 1, 6 do
        local m = c:receive()
        assert.same({ tostring(i), 1 + i % 2 }, { m.payload, m.qos })
        assert.equal(tostring(i), here:receive().payload)
      end
      assert.same({}, c:settle())
      here:disconnect()
      c:drop()
    end)
  end)
end

describe("MQTT 5.0 delivery", function()
  local pub

  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)
  before_each(function() pub = client("pub", 5) end)
  after_each(function()
    pub:drop()
    client("keeper", 5):disconnect()
  end)

  it("does not repeat what the client refused [5.0: 4.4.0-2]", function()
    local c = keeper(5)
    c:subscribe("t", 2)
    for qos = 1, 2 do
      for _, reason in ipairs { 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99 } do
        pub:publish("t", "x", { qos = qos })
        local m = expect(c, "x", false)
        c:send(wire.ack(qos == 1 and "PUBACK" or "PUBREC", m.packet_id, reason))
        assert.same({}, c:settle()) -- no PUBREL either
      end
    end
    c:drop()
    c = keeper(5)
    assert.same({}, c:settle())
    c:drop()
  end)

  it("stops at the receive maximum, but for all else "
    .. "[5.0: 3.3.4-9, 3.3.4-10, 4.9.0-1, 4.9.0-2, 4.9.0-3]", function()
    for window = 1, 3 do
      local c = client("window", 5, { receive_maximum = window })
      c:subscribe("t", 2)
      for i = 1, 8 do pub:publish("t", tostring(i), { qos = 1 + i % 2 }) end
      local open, last = {}, 9 -- the ninth is its own
      for i = 1, window do open[i] = expect(c, tostring(i), false) end
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
        if i + window <= last then open[#open + 1] = expect(c, tostring(i + window), false) end
      end
      c:disconnect()
    end
  end)

  it("leaves out what the client cannot take, as if it had been sent [5.0: 3.1.2-24, 3.1.2-25]",
    function()
      local c = keeper(5, { maximum_packet = 60, receive_maximum = 1 })
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
      c = keeper(5, { maximum_packet = 60, receive_maximum = 1 })
      assert.equal("away", c:receive().payload)
      c:subscribe("kept/+", 1)
      assert.equal("kept", c:receive().payload)
      assert.same({}, c:settle())
      c:drop()
      c = keeper(5) -- a new limit does not bring them back
      assert.same({}, c:settle())
      c:drop()
      for i = 1, 2 do pub:publish("kept/" .. i, "", { qos = 1, retain = true }) end
    end)

  it("sets no alias past the client's maximum, and none without one "
    .. "[5.0: 3.1.2-26, 3.1.2-27, 3.3.2-8, 3.3.2-11, 3.3.2-7]", function()
    for _, max in ipairs { 0, 1, 3, 16 } do
      for _ = 1, 2 do -- the second connection knows nothing of the first one's
        local c = keeper(5, { alias_maximum = max > 0 and max or nil })
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
    local c = keeper(5)
    c:subscribe("t", 2)
    pub:publish("t", "one", { qos = 1, props = { message_expiry = 1 } })
    pub:publish("t", "two", { qos = 2, props = { message_expiry = 1 } })
    local one, two = expect(c, "one", false), expect(c, "two", false)
    Host.pass(1200)
    c:drop()
    c = keeper(5)
    expect(c, "one", true, one.packet_id)
    expect(c, "two", true, two.packet_id)
    c:send(wire.ack("PUBREC", two.packet_id))
    assert.equal(0, c:read("PUBREL").reason)
    c:drop()
  end)
end)
