-- SPDX-License-Identifier: Apache-2.0
-- PUBLISH to a client, statement by statement: identifiers, handshakes, what comes again after
-- a reconnect, order.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host

local function client(id, v) return Mqtt.connect(host.ports.mqtt, { id = id, version = v }) end

-- A client whose session stays.
local function keeper(v)
  return Mqtt.connect(host.ports.mqtt, { id = "keeper", version = v, clean = false,
    props = { session_expiry = 100 } })
end

local function unknown_acks()
  return host:metric 'tidegate_mqtt_unknown_acks_total{listener="mqtt"}'
end

for v = 4, 5 do
  describe(Mqtt.names[v] .. " delivery", function()
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
        local m = c:expect(tostring(i), false)
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
        ids[i] = c:expect(payloads[i], false).packet_id
      end
      assert.same({}, c:settle()) -- not before it is back
      c:send(wire.ack("PUBACK", ids[4]))
      c:settle()
      for _ = 1, 2 do
        c:drop()
        c = keeper(v)
        for i = 1, 10 do
          if i ~= 4 then c:expect(payloads[i], true, ids[i]) end
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
        ids[i] = c:expect(tostring(i), false).packet_id
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

    it("is not done by another packet's acknowledgement" .. tags(v, {
      [4] = "4.3.2-1, 4.3.3-1", [5] = "4.3.2-3, 4.3.3-3, 4.3.3-5" }), function()
      local c = keeper(v)
      c:subscribe("t", 2)
      pub:publish("t", "one", { qos = 1 })
      pub:publish("t", "two", { qos = 2 })
      local one, two = c:expect("one", false).packet_id, c:expect("two", false).packet_id
      c:send(wire.ack("PUBCOMP", one) .. wire.ack("PUBACK", two) .. wire.ack("PUBCOMP", two))
      c:settle()
      c:drop()
      c = keeper(v)
      c:expect("one", true, one)
      c:expect("two", true, two)
      c:send(wire.ack("PUBREC", two))
      c:read "PUBREL"
      c:send(wire.ack("PUBACK", two))
      c:settle()
      c:drop()
      c = keeper(v)
      c:expect("one", true, one)
      assert.equal(two, c:read("PUBREL").packet_id)
      assert.same({}, c:settle())
      c:drop()
    end)

    it("is not done by an acknowledgement of the other QoS, good or bad" .. tags(v, {
      [4] = "4.3.2-1, 4.3.3-1", [5] = "4.3.2-3, 4.3.3-3" }), function()
      local c = keeper(v)
      c:subscribe("t", 2)
      pub:publish("t", "one", { qos = 1 })
      pub:publish("t", "two", { qos = 2 })
      local one, two = c:expect("one", false).packet_id, c:expect("two", false).packet_id
      local before = unknown_acks()
      c:send(wire.ack("PUBREC", one) .. wire.ack("PUBACK", two))
      if v == 5 then c:send(wire.ack("PUBREC", one, 0x80) .. wire.ack("PUBACK", two, 0x80)) end
      local rel = c:read "PUBREL" -- that one must be answered, and says that there is none
      assert.same({ one, v == 5 and 0x92 or 0 }, { rel.packet_id, rel.reason })
      c:settle()
      assert.equal(v == 5 and 4 or 2, unknown_acks() - before)
      c:drop()
      c = keeper(v)
      c:expect("one", true, one)
      c:expect("two", true, two)
      if v == 5 then
        c:send(wire.ack("PUBACK", one, 0x80) .. wire.ack("PUBREC", two, 0x80))
        c:settle()
        c:drop()
        c = keeper(v)
        assert.same({}, c:settle()) -- these were refused, and are done
      end
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
