-- SPDX-License-Identifier: Apache-2.0
-- Sessions, wills and their times, as tests for whatever host they are given: a fresh one
-- (e2e/mqtt_session_spec.lua), and one that has been through a lot (e2e/mqtt_flood_spec.lua).
local uv = require "luv"
local Host = require "support.host"
local wire = require "support.mqtt_wire"

---@param env table the spec's own: Busted gives `it` and `assert` to its files alone
---@param client fun(options: table): table a connected client
return function(env, client)
  local it, assert = env.it, env.assert

  it("keep messages for a client that is away, in order, once "
    .. "[3.1.1: 3.1.2-5, 4.6.0-6] [5.0: 3.1.2-23, 4.6.0-5]", function()
    for _, version in ipairs { 4, 5 } do
      local options = { id = "away", version = version, clean = false,
        props = { session_expiry = 100 } }
      local c = client(options)
      c:subscribe("away/#", 2)
      c:disconnect()
      local pub = client { id = "pub" }
      for i = 1, 20 do pub:publish("away/x", tostring(i), { qos = 1 + i % 2 }) end
      c = client(options)
      assert.is_true(c.connack.present)
      for i = 1, 20 do
        local m = c:receive()
        assert.equal(tostring(i), m.payload)
        assert.equal(1 + i % 2, m.qos)
      end
      assert.same({}, c:settle())
      c:disconnect()
      client({ id = "away", version = version, clean = true }):disconnect()
      pub:disconnect()
    end
  end)

  it("send again what was not acknowledged, marked as sent before [5.0: 3.3.1-1, 4.4.0-1]",
    function()
    local options = { id = "again", clean = false, props = { session_expiry = 100 } }
    local c, pub = client(options), client { id = "pub" }
    c:subscribe("again", 2)
    pub:publish("again", "one", { qos = 1 })
    pub:publish("again", "two", { qos = 2 })
    local one, two = c:read "PUBLISH", c:read "PUBLISH"
    c:send(wire.ack("PUBREC", two.packet_id))
    c:read "PUBREL"
    c:drop()
    c = client(options)
    local repeated = c:read "PUBLISH"
    assert.is_true(repeated.dup)
    assert.equal(one.packet_id, repeated.packet_id)
    assert.equal("one", repeated.payload)
    c:send(wire.ack("PUBACK", repeated.packet_id))
    local release = c:read "PUBREL"
    assert.equal(two.packet_id, release.packet_id)
    c:send(wire.ack("PUBCOMP", release.packet_id))
    assert.same({}, c:settle())
    c:disconnect(0, { session_expiry = 0 })
    assert.is_false(client(options).connack.present)
    pub:disconnect()
  end)

  it("remember a QoS 2 message from the client across reconnects [5.0: 4.3.3-10]", function()
    local options = { id = "twice", clean = false, props = { session_expiry = 100 } }
    local sub, c = client { id = "sub" }, client(options)
    sub:subscribe("twice", 0)
    c:send(wire.publish(5, "twice", "x", { qos = 2, packet_id = 9 }))
    c:read "PUBREC"
    c:drop()
    c = client(options)
    c:send(wire.publish(5, "twice", "x", { qos = 2, packet_id = 9, dup = true }))
    c:read "PUBREC"
    c:send(wire.ack("PUBREL", 9))
    assert.equal(0, c:read("PUBCOMP").reason)
    c:publish("twice", "end", { qos = 1 })
    assert.equal("x", sub:receive().payload)
    assert.equal("end", sub:receive().payload)
    sub:disconnect()
    c:disconnect()
  end)

  it("end when their time is over [5.0: 4.1.0-2]", function()
    local c = client { id = "short", clean = false, props = { session_expiry = 1 } }
    c:subscribe("short", 1)
    c:disconnect()
    Host.await(function()
      local again = client { id = "short", clean = false, props = { session_expiry = 1 } }
      local present = again.connack.present
      again:disconnect()
      if present then Host.pass(1200) end
      return not present
    end, "the session to expire")
  end)

  it("drop what waited for longer than its publisher wanted", function()
    local options = { id = "stale", clean = false, props = { session_expiry = 100 } }
    local c, pub = client(options), client { id = "pub" }
    c:subscribe("stale", 1)
    c:disconnect()
    pub:publish("stale", "old", { qos = 1, props = { message_expiry = 1 } })
    pub:publish("stale", "good", { qos = 1, props = { message_expiry = 100 } })
    Host.pass(2100)
    c = client(options)
    assert.equal("good", c:receive().payload)
    assert.same({}, c:settle())
    c:disconnect(0, { session_expiry = 0 })
    pub:disconnect()
  end)

  it("publish a delayed will only if the client stays away [5.0: 3.1.2-8, 3.1.3-9]", function()
    local sub = client { id = "sub" }
    sub:subscribe("late/#", 1)
    local function options(payload)
      return { id = "late", clean = false, props = { session_expiry = 100 },
        will = { topic = "late/will", payload = payload, qos = 1, props = { will_delay = 1 } } }
    end
    local n, began = 0
    repeat -- until it was in time
      n, began = n + 1, uv.hrtime()
      client(options("back " .. n)):drop()
      client(options "polite"):disconnect()
    until uv.hrtime() - began < 900000000
    client(options "late"):drop()
    local heard = {}
    repeat
      local payload = sub:receive().payload
      heard[payload] = true
    until payload == "late"
    assert.is_nil(heard["back " .. n])
    assert.is_nil(heard.polite)
    assert.same({}, sub:settle())
    sub:disconnect()
  end)

  it("publish the will when the client asks for it or breaks the rules", function()
    local sub = client { id = "sub" }
    sub:subscribe("w/#", 0)
    local function will(name) return { topic = "w/" .. name, payload = name } end
    client({ id = "asks", will = will "asked" }):disconnect(0x04)
    assert.equal("asked", sub:receive().payload)
    local rude = client { id = "rude", will = will "broken" }
    rude:send "\x00\x00"
    rude:dismissed(0x81)
    assert.equal("broken", sub:receive().payload)
    sub:disconnect()
  end)

  it("close a client that is silent for one and a half times its keep alive [5.0: 3.1.2-22]",
    function()
    local sub = client { id = "sub" }
    sub:subscribe("silent", 0)
    local c = client { id = "c", keepalive = 1, will = { topic = "silent", payload = "dead" } }
    c:dismissed(0x8D)
    assert.equal("dead", sub:receive().payload)
    sub:disconnect()
  end)
end
