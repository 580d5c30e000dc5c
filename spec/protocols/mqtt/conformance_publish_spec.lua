-- SPDX-License-Identifier: Apache-2.0
-- PUBLISH from a client, statement by statement: its handshakes, what is retained, and what
-- reaches the subscribers.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host

local function client(id, v, more)
  return Mqtt.connect(host.ports.mqtt, { id = id, version = v }, more)
end

-- What a subscription is sent of its topic's retained message: payload and QoS, or nil.
local function retained(v, topic)
  local c = client("retained", v)
  c:subscribe { { topic, 2 }, { "none", 0 } }
  local m = c:settle()[1]
  c:drop()
  if m then
    assert.is_true(m.retain)
    return m.payload, m.qos
  end
end

for v = 4, 5 do
  describe(Mqtt.names[v] .. " PUBLISH", function()
    local sub, pub

    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)
    before_each(function() sub, pub = client("sub", v), client("pub", v) end)
    after_each(function()
      sub:drop()
      pub:drop()
    end)

    local function publish(qos, id, payload, more)
      local o = { qos = qos, packet_id = id }
      for key, value in pairs(more or {}) do o[key] = value end
      pub:send(wire.publish(v, "t", payload, o))
    end

    local function answered(kind, id)
      local packet = pub:read(kind)
      assert.equal(id, packet.packet_id)
      assert.equal(0, packet.reason)
    end

    it("of QoS 0 reaches a subscriber in exactly its bytes" .. tags(v, {
      [4] = "2.3.1-5, 3.3.1-2, 3.3.2-1, 4.3.1-1",
      [5] = "2.2.1-2, 2.2.2-1, 3.3.1-2, 3.3.2-1, 4.3.1-1, 1.5.5-1" }), function()
      sub:subscribe("a/b", 0)
      local nothing = v == 5 and "\0" or ""
      for _, size in ipairs { 0, 1, 120, 121, 122, 123, 16000, 16377, 16378, 16379, 70000 } do
        local payload = ("x"):rep(size)
        pub:publish("a/b", payload)
        local body = "\0\3a/b" .. nothing .. payload
        sub.tcp:expect("\x30" .. wire.varint(#body) .. body)
      end
    end)

    it("is answered as its QoS demands, with its identifier" .. tags(v, {
      [4] = "2.3.1-6, 3.3.4-1, 4.3.2-2, 4.3.3-2",
      [5] = "2.2.1-5, 3.3.4-1, 4.3.2-4, 4.3.3-8, 4.3.3-11" }), function()
      sub:subscribe("t", 2) -- so that somebody wants it
      for _, id in ipairs { 1, 2, 255, 256, 32768, 65535 } do
        publish(0, nil, "zero")
        assert.same({}, pub:settle())
        publish(1, id, "one")
        answered("PUBACK", id)
        publish(2, id, "two")
        answered("PUBREC", id)
        pub:send(wire.ack("PUBREL", id))
        answered("PUBCOMP", id)
        for _, payload in ipairs { "zero", "one", "two" } do
          assert.equal(payload, sub:receive().payload)
        end
      end
    end)

    it("of QoS 1 is a new message after its PUBACK, whatever DUP says"
      .. tags(v, { [4] = "4.3.2-2, 3.3.1-3", [5] = "4.3.2-5, 3.3.1-3" }), function()
      sub:subscribe("t", 1)
      for i = 1, 3 do
        publish(1, 7, tostring(i), { dup = i > 1 })
        answered("PUBACK", 7)
        local m = sub:receive()
        assert.equal(tostring(i), m.payload)
        assert.is_false(m.dup)
      end
    end)

    it("of QoS 2 is delivered once until PUBREL, and is a new one after PUBCOMP" .. tags(v, {
      [4] = "4.3.3-2, 3.3.1-3", [5] = "4.3.3-10, 4.3.3-12, 3.3.1-3" }), function()
      sub:subscribe("t", 2)
      for i = 1, 2 do
        for again = 0, 2 do
          publish(2, 9, tostring(i), { dup = again > 0 })
          answered("PUBREC", 9)
        end
        pub:send(wire.ack("PUBREL", 9))
        answered("PUBCOMP", 9)
        local m = sub:receive()
        assert.equal(tostring(i), m.payload)
        assert.is_false(m.dup)
        assert.same({}, sub:settle())
      end
    end)

    it("of QoS 2 may be under way as often as the client wants, or was told" .. tags(v, {
      [4] = "4.3.3-2", [5] = "4.3.3-8" }), function()
      sub:subscribe("t", 0)
      local many = v == 4 and 3000 or pub.connack.props.receive_maximum
      for _ = 1, 2 do
        local bytes = {}
        for id = 1, many do
          bytes[id] = wire.publish(v, "t", tostring(id), { qos = 2, packet_id = id })
        end
        pub:send(table.concat(bytes))
        for id = 1, many do answered("PUBREC", id) end
        for id = 1, many do bytes[id] = wire.ack("PUBREL", id) end
        pub:send(table.concat(bytes))
        for id = 1, many do answered("PUBCOMP", id) end
      end
      for id = 1, 2 * many do
        assert.equal(tostring((id - 1) % many + 1), sub:receive().payload)
      end
    end)

    it("is acknowledged in the order of sending"
      .. tags(v, { [4] = "4.6.0-2, 4.6.0-3", [5] = "3.3.4-1" }), function()
      sub:subscribe("t", 0)
      for id = 1, 40 do publish(1 + id % 2, id, "x") end
      for id = 1, 40 do answered(id % 2 == 0 and "PUBACK" or "PUBREC", id) end
    end)

    it("with RETAIN is kept with its QoS for later subscribers" .. tags(v, {
      [4] = "3.3.1-5, 3.3.1-6, 3.3.1-8, 3.3.1-9", [5] = "3.3.1-5, 3.3.1-9, 3.3.1-12" }), function()
      for qos = 0, 2 do
        local topic = "r/keep/" .. qos
        sub:subscribe(topic, 2)
        pub:publish(topic, "m" .. qos, { qos = qos, retain = true })
        assert.is_false(sub:receive().retain) -- it was there as it happened
        assert.same({ "m" .. qos, qos }, { retained(v, topic) })
      end
    end)

    it("with RETAIN and QoS 0 replaces what was kept"
      .. tags(v, { [4] = "3.3.1-7", [5] = "3.3.1-5" }), function()
      pub:publish("r/zero", "old", { qos = 2, retain = true })
      pub:publish("r/zero", "new", { retain = true })
      pub:settle()
      assert.same({ "new", 0 }, { retained(v, "r/zero") })
    end)

    it("without RETAIN neither keeps nor removes nor replaces"
      .. tags(v, { [4] = "3.3.1-12", [5] = "3.3.1-8" }), function()
      pub:publish("r/none", "x", { qos = 1 })
      assert.is_nil(retained(v, "r/none"))
      pub:publish("r/plain", "kept", { qos = 1, retain = true })
      pub:publish("r/plain", "passing", { qos = 1 })
      pub:publish("r/plain", "", { qos = 1 })
      assert.equal("kept", retained(v, "r/plain"))
    end)

    it("with RETAIN and no payload is delivered, removes, and is not kept" .. tags(v, {
      [4] = "3.3.1-10, 3.3.1-11", [5] = "3.3.1-6, 3.3.1-7" }), function()
      pub:publish("r/gone", "kept", { qos = 1, retain = true })
      sub:subscribe("r/gone", 1)
      assert.equal("kept", sub:receive().payload)
      pub:publish("r/gone", "", { qos = 1, retain = true })
      local m = sub:receive()
      assert.equal("", m.payload)
      assert.is_false(m.retain)
      assert.is_nil(retained(v, "r/gone"))
      pub:publish("r/never", "", { qos = 1, retain = true })
      assert.is_nil(retained(v, "r/never"))
    end)

    it("takes its topic as it is, to the last byte" .. tags(v, {
      [4] = "1.5.3-3, 4.7.3-4", [5] = "1.5.4-3, 4.7.3-4" }), function()
      local topics = { "é", "e\u{301}", "\u{FEFF}a", "a", "a\u{FEFF}", "A", " a", "a ", "a//b",
        "a/b", "/a/b", "a/b/", "\u{FFFF}", "\u{10FFFF}", "\1", "\u{7F}" }
      for _, filter in ipairs(topics) do sub:subscribe(filter, 0) end
      for _, topic in ipairs(topics) do
        pub:publish(topic, topic)
        local m = sub:receive()
        assert.same({ topic, topic }, { m.topic, m.payload })
      end
      assert.same({}, sub:settle()) -- each for its own filter alone
    end)

    it("and filters have up to 65,535 bytes"
      .. tags(v, { [4] = "4.7.3-3", [5] = "4.7.3-3" }), function()
      local topic = "long/" .. ("x"):rep(65530)
      sub:subscribe(topic, 1)
      pub:publish(topic, "whole", { qos = 1 })
      local m = sub:receive()
      assert.equal("whole", m.payload)
      assert.is_true(m.topic == topic)
    end)

    it("is followed by answers to PINGREQ"
      .. tags(v, { [4] = "3.12.4-1", [5] = "3.12.4-1" }), function()
      for _ = 1, 3 do
        pub:send "\xC0\0"
        pub.tcp:expect "\xD0\0"
      end
    end)
  end)
end
