-- SPDX-License-Identifier: Apache-2.0
-- SUBSCRIBE and UNSUBSCRIBE, statement by statement: answers, filters and what they match,
-- overlaps, replacement, and shared subscriptions.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host

local function client(id, v, more)
  return Mqtt.connect(host.ports.mqtt, { id = id, version = v }, more)
end

-- Filter → topics that it matches, and topics that it does not.
local MATCHES = {
  { "a/b", { "a/b" }, { "a", "a/b/c", "a/", "/a/b", "A/b" } },
  { "a/+", { "a/b", "a/" }, { "a", "a/b/c", "/a" } },
  { "a/#", { "a", "a/", "a/b", "a/b/c" }, { "/a", "b/a", "ab" } },
  { "+", { "a" }, { "a/", "/a", "$a" } },
  { "/+", { "/a", "/" }, { "a", "/a/b" } },
  { "+/+", { "a/b", "/", "/a", "a/" }, { "a", "a/b/c", "$a/b" } },
  { "+/b/#", { "a/b", "a/b/c", "/b" }, { "a", "a/c", "$a/b" } },
  { "a/+/c", { "a/b/c", "a//c" }, { "a/c", "a/b/b/c" } },
  { "#", { "a", "/", "a/b", "/a/" }, { "$a", "$a/b" } },
  { "$a/#", { "$a", "$a/b" }, { "a", "a/b", "b" } },
  { "$a/+", { "$a/b" }, { "$a", "a/b" } },
  { "+/#", { "a", "a/b", "/" }, { "$a", "$a/b" } },
}

local NO_FILTERS = { "", "a#", "a/#/b", "#/a", "##", "a/##", "a+", "+a", "a/+b", "a/b+", "a/b+/c",
  "++", "a/#b" }

for v = 4, 5 do
  describe(Mqtt.names[v] .. " SUBSCRIBE", function()
    local c, pub
    local failed = v == 4 and 0x80 or 0x8F

    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)
    before_each(function() c, pub = client("c", v), client("pub", v) end)
    after_each(function()
      c:drop()
      pub:drop()
    end)

    it("is answered once, filter by filter in order, with its identifier" .. tags(v, {
      [4] = "2.3.1-7, 3.8.4-1, 3.8.4-2, 3.8.4-4, 3.8.4-5, 3.9.3-1, 3.9.3-2",
      [5] = "2.2.1-6, 3.8.4-1, 3.8.4-2, 3.8.4-5, 3.8.4-6, 3.8.4-7, 3.9.3-1, 3.9.3-2" }), function()
      for _, id in ipairs { 1, 256, 65535 } do
        c:send(wire.subscribe(v, id,
          { { "s/2", 2 }, { "s/#/x", 1 }, { "s/0", 0 }, { "s/1", 1 }, { "", 2 } }))
        local ack = c:read "SUBACK"
        assert.equal(id, ack.packet_id)
        assert.same({ 2, failed, 0, 1, failed }, ack.codes)
        assert.same({}, c:settle())
      end
      for qos = 0, 2 do -- and each of them is in force
        pub:publish("s/" .. qos, "x", { qos = 2 })
        assert.equal(qos, c:receive().qos)
      end
      assert.same({}, c:settle())
      local many = {}
      for i = 1, 500 do many[i] = { "many/" .. i, i % 3 } end
      for i, code in ipairs(c:subscribe(many)) do assert.equal(i % 3, code) end
    end)

    it("takes filters that are filters"
      .. tags(v, { [4] = "4.7.1-2, 4.7.1-3, 4.7.3-1", [5] = "4.7.1-1, 4.7.1-2, 4.7.3-1" }),
      function()
        for _, filter in ipairs(NO_FILTERS) do
          assert.same({ failed }, c:subscribe(filter, 0), filter)
        end
        for _, match in ipairs(MATCHES) do assert.same({ 0 }, c:subscribe(match[1], 0)) end
      end)

    it("matches by level" .. tags(v, { [4] = "3.3.2-3, 4.7.1-2, 4.7.1-3, 4.7.2-1",
      [5] = "3.3.2-3, 4.7.1-1, 4.7.1-2, 4.7.2-1" }), function()
      for _, match in ipairs(MATCHES) do
        c:subscribe(match[1], 0)
        for _, topic in ipairs(match[3]) do pub:publish(topic, "no", { qos = 1 }) end
        for _, topic in ipairs(match[2]) do
          pub:publish(topic, "yes", { qos = 1 })
          local m = c:receive()
          assert.same({ topic, "yes" }, { m.topic, m.payload }, match[1])
        end
        c:unsubscribe(match[1])
      end
    end)

    it("delivers the lower of both QoS"
      .. tags(v, { [4] = "3.8.4-6", [5] = "3.8.4-8" }), function()
      for granted = 0, 2 do
        c:subscribe("q/" .. granted, granted)
        for qos = 0, 2 do
          pub:publish("q/" .. granted, "x", { qos = qos })
          assert.equal(math.min(qos, granted), c:receive().qos)
        end
      end
    end)

    it("delivers with the highest QoS of those that overlap"
      .. tags(v, { [4] = "3.3.5-1", [5] = "3.3.4-2" }), function()
      c:subscribe { { "o/#", 0 }, { "o/+", 2 }, { "o/x", 1 } }
      pub:publish("o/x", "x", { qos = 2 })
      assert.equal(2, c:receive().qos)
      pub:publish("o/x/y", "y", { qos = 2 })
      local m = c:receive()
      assert.same({ "y", 0 }, { m.payload, m.qos })
    end)

    it("replaces a subscription with the same filter, and repeats what is retained"
      .. tags(v, { [4] = "3.8.4-3", [5] = "3.8.4-3, 3.8.4-4" }), function()
      pub:publish("again/kept", "kept", { qos = 2, retain = true })
      for _, qos in ipairs { 2, 0, 1 } do
        assert.same({ qos }, c:subscribe("again/+", qos))
        local m = c:receive()
        assert.same({ "kept", true, qos }, { m.payload, m.retain, m.qos })
        pub:publish("again/live", "live", { qos = 2 })
        m = c:receive()
        assert.same({ "live", qos }, { m.payload, m.qos })
        assert.same({}, c:settle()) -- once
      end
      for i = 1, 50 do
        pub:send(wire.publish(v, "again/live", tostring(i), { qos = 1, packet_id = i }))
        if i % 10 == 0 then c:send(wire.subscribe(v, i, { { "again/+", 1 } })) end
      end
      local last, acks = 0, 0
      Host.eventually(function() -- nothing is lost on the way
        for _, p in ipairs(c:settle()) do
          if p.type == "SUBACK" then acks = acks + 1 end
          if p.type == "PUBLISH" then
            c:send(wire.ack("PUBACK", p.packet_id))
            if not p.retain then
              assert.equal(tostring(last + 1), p.payload)
              last = last + 1
            end
          end
        end
        return last == 50 and acks == 5
      end, "all messages and answers")
      pub:publish("again/kept", "", { qos = 1, retain = true })
    end)
  end)

  describe(Mqtt.names[v] .. " UNSUBSCRIBE", function()
    local c, pub

    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)
    before_each(function() c, pub = client("c", v), client("pub", v) end)
    after_each(function()
      c:drop()
      pub:drop()
    end)

    local function codes(list) return v == 5 and list or {} end

    it("is answered once with its identifier, whatever was subscribed" .. tags(v, {
      [4] = "2.3.1-7, 3.10.4-4, 3.10.4-5, 3.10.4-6",
      [5] = "2.2.1-6, 3.10.4-4, 3.10.4-5, 3.10.4-6, 3.11.3-1, 3.11.3-2" }), function()
      for _, id in ipairs { 1, 256, 65535 } do
        c:subscribe { { "a", 0 }, { "b/#", 0 } }
        c:send(wire.unsubscribe(v, id, { "x", "b/#", "#", "a", "a" }))
        local ack = c:read "UNSUBACK"
        assert.equal(id, ack.packet_id)
        assert.same(codes { 0x11, 0, 0x11, 0, 0x11 }, ack.codes)
        assert.same({}, c:settle())
      end
      for _, topic in ipairs { "a", "b", "b/c" } do pub:publish(topic, "x", { qos = 1 }) end
      assert.same({}, c:settle())
    end)

    it("deletes the filter that is the same to the letter, and ends its messages"
      .. tags(v, { [4] = "3.10.4-1, 3.10.4-2", [5] = "3.10.4-1, 3.10.4-2" }), function()
      c:subscribe("u/+", 1)
      for _, filter in ipairs { "u/#", "u/x", "U/+", "u/+/", "+/+", "u" } do
        assert.same(codes { 0x11 }, c:unsubscribe(filter), filter)
      end
      pub:publish("u/x", "there", { qos = 1 })
      assert.equal("there", c:receive().payload)
      assert.same(codes { 0 }, c:unsubscribe "u/+")
      for qos = 0, 2 do pub:publish("u/x", "gone", { qos = qos }) end
      assert.same({}, c:settle())
    end)

    it("leaves deliveries that had begun to their end"
      .. tags(v, { [4] = "3.10.4-3", [5] = "3.10.4-3" }), function()
      local options = { clean = false, props = { session_expiry = 100 } }
      local u = client("u", v, options)
      u:subscribe("u", 2)
      pub:publish("u", "one", { qos = 1 })
      pub:publish("u", "two", { qos = 2 })
      local one, two = u:read "PUBLISH", u:read "PUBLISH"
      u:unsubscribe "u"
      u:drop()
      u = client("u", v, options)
      for _, m in ipairs { one, two } do
        local again = u:read "PUBLISH"
        assert.same({ m.packet_id, m.payload, true }, { again.packet_id, again.payload, again.dup })
      end
      u:send(wire.ack("PUBACK", one.packet_id))
      u:send(wire.ack("PUBREC", two.packet_id))
      assert.equal(two.packet_id, u:read("PUBREL").packet_id)
      u:send(wire.ack("PUBCOMP", two.packet_id))
      assert.same({}, u:settle())
      u:drop()
      client("u", v):disconnect()
    end)
  end)
end

describe("MQTT 3.1.1 SUBSCRIBE", function()
  it("with wildcards fails where there are none [3.1.1: 3.8.3-2]", function()
    finally(Host.cleanup)
    host = Host.start { config = { listeners = { { name = "mqtt", adapter = "mqtt",
      anonymous = true, options = { wildcard_subscriptions = false } } } } }
    local c = client("c", 4)
    assert.same({ 0x80, 0x80, 1 }, c:subscribe { { "a/+", 0 }, { "#", 0 }, { "a", 1 } })
    c:publish("a/b", "x", { qos = 1 })
    assert.same({}, c:settle())
    c:disconnect()
    host:stop()
  end)
end)
