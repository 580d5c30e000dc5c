-- SPDX-License-Identifier: Apache-2.0
-- What clients of any version do every day, as tests for whatever host they are given: a fresh
-- one (e2e/mqtt_spec.lua), and one that has been through a lot (e2e/mqtt_flood_spec.lua).
local tags = require "support.statements"

---@param env table the spec's own: Busted gives `it` and `assert` to its files alone
---@param version integer protocol level
---@param client fun(options: table): table a connected client
return function(env, version, client)
  local it, assert = env.it, env.assert

  it("delivers every QoS at every QoS" .. tags(version,
    { [4] = "3.8.4-6, 3.3.1-2", [5] = "3.8.4-8, 3.3.1-2" }), function()
    local sub = client { id = "sub", version = version }
    local pub = client { id = "pub", version = version }
    for wanted = 0, 2 do
      assert.same({ wanted }, sub:subscribe("q/" .. wanted, wanted))
      for qos = 0, 2 do
        pub:publish("q/" .. wanted, "m" .. qos, { qos = qos })
        local m = sub:receive()
        assert.equal("m" .. qos, m.payload)
        assert.equal(math.min(qos, wanted), m.qos)
        assert.is_false(m.dup)
        assert.is_false(m.retain)
      end
    end
    sub:disconnect()
    pub:disconnect()
  end)

  it("matches wildcards and keeps $-topics out of them" .. tags(version,
    { [4] = "4.7.2-1", [5] = "4.7.2-1" }), function()
    local sub = client { id = "sub", version = version }
    local pub = client { id = "pub", version = version }
    sub:subscribe { { "a/+/c", 0 }, { "b/#", 0 }, { "#", 0 } }
    pub:publish("a/x/c", "1", { qos = 1 })
    pub:publish("b", "2", { qos = 1 })
    pub:publish("$own/x", "3", { qos = 1 })
    pub:publish("end", "4", { qos = 1 })
    local got = {}
    repeat
      local m = sub:receive()
      got[m.payload] = (got[m.payload] or 0) + 1
    until m.payload == "4"
    assert.is_true(got["1"] >= 1 and got["2"] >= 1)
    assert.is_nil(got["3"])
    sub:disconnect()
    pub:disconnect()
  end)

  it("keeps retained messages and clears them with an empty one" .. tags(version,
    { [4] = "3.3.1-5, 3.3.1-8, 3.3.1-10", [5] = "3.3.1-6, 3.3.1-9" }), function()
    local pub = client { id = "pub", version = version }
    pub:publish("r/a", "kept", { qos = 1, retain = true })
    pub:publish("r/b", "too", { qos = 1, retain = true })
    local sub = client { id = "sub", version = version }
    sub:subscribe("r/+", 1)
    local got = {}
    for _ = 1, 2 do
      local m = sub:receive()
      assert.is_true(m.retain)
      got[m.topic] = m.payload
    end
    assert.same({ ["r/a"] = "kept", ["r/b"] = "too" }, got)
    pub:publish("r/a", "", { qos = 1, retain = true })
    assert.is_false(sub:receive().retain) -- as it happens, it is a message like any other
    local later = client { id = "later", version = version }
    later:subscribe { { "r/+", 0 }, { "none", 0 } } -- retained ones wait for its SUBACK
    assert.equal("r/b", later:receive().topic)
    assert.same({}, later:settle())
    pub:publish("r/b", "", { qos = 1, retain = true })
    for _, c in ipairs { pub, sub, later } do c:disconnect() end
  end)

  it("stops delivering after UNSUBSCRIBE" .. tags(version,
    { [4] = "3.10.4-2", [5] = "3.10.4-2" }), function()
    local c = client { id = "c", version = version }
    c:subscribe("u", 0)
    c:publish("u", "1", { qos = 0 })
    assert.equal("1", c:receive().payload)
    c:unsubscribe "u"
    c:publish("u", "2", { qos = 0 })
    assert.same({}, c:settle())
    c:disconnect()
  end)

  it("publishes the will of a client that vanishes, not of one that says good-bye"
    .. tags(version, { [4] = "3.1.2-8, 3.14.4-3", [5] = "3.1.2-8, 3.14.4-3" }), function()
    local sub = client { id = "sub", version = version }
    sub:subscribe("will/#", 1)
    local will = { topic = "will/x", payload = "gone", qos = 1, retain = false }
    client({ id = "polite", version = version, will = will }):disconnect()
    client({ id = "rude", version = version, will = { topic = "will/y", payload = "rude" } })
      :drop()
    assert.equal("rude", sub:receive().payload)
    sub:disconnect()
  end)

  it("takes a session over from an earlier connection" .. tags(version,
    { [4] = "3.1.4-2", [5] = "3.1.4-3" }), function()
    local old = client { id = "same", version = version }
    local new = client { id = "same", version = version }
    old:dismissed(0x8E)
    new:settle()
    new:disconnect()
  end)
end
