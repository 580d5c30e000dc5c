-- SPDX-License-Identifier: Apache-2.0
-- Sessions that outlive their connections: what waits for them, what ends them, and who owns
-- one when two want it.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local lives = require "support.mqtt_lives"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

describe("MQTT sessions", function()
  setup(function() host = Host.start { config = { workers = 2 } } end)
  teardown(function() host:stop() Host.cleanup() end)

  lives(_ENV, client)

  it("belong to one connection when many come at once [5.0: 3.1.4-3]", function()
    local packets, tcps = wire.connect { id = "race", version = 5 }, {}
    for i = 1, 20 do tcps[i] = Mqtt.open(host.ports.mqtt, 5) end
    for _, c in ipairs(tcps) do c:send(packets) end
    local function alive()
      local n = 0
      for _, c in ipairs(tcps) do n = n + (c.tcp.ended and 0 or 1) end
      return n
    end
    Host.await(function() return alive() == 1 end, "one connection to be left")
    for _, c in ipairs(tcps) do
      if c.tcp.ended then
        local first = c:read()
        -- Either it was in already, or it lost while it was still coming in.
        if first.reason == 0 then
          assert.equal(0x8E, c:read("DISCONNECT").reason)
        else
          assert.equal(0x89, first.reason)
        end
      else
        assert.equal(0, c:read("CONNACK").reason)
        c:settle()
        c:disconnect()
      end
    end
  end)

  it("keep order and exactness while their client hops between connections", function()
    local options = { id = "hopper", clean = false, props = { session_expiry = 100 } }
    local c, pub = client(options), client { id = "pub" }
    c:subscribe("hop", 2)
    local last, twos = 0, {}
    local function take(m)
      local n = tonumber(m.payload)
      if m.known then return end
      assert.is_nil(twos[n])
      twos[n] = true
      if not m.dup then
        assert.is_true(n > last)
        last = n
      end
    end
    for i = 1, 60 do
      pub:publish("hop", tostring(i), { qos = 2 })
      if i % 6 == 0 then
        while last < i do take(c:receive()) end
        c = client(options):resume(c) -- takes over
      end
    end
    for i = 1, 60 do assert.is_true(twos[i]) end
    c:disconnect(0, { session_expiry = 0 })
    pub:disconnect()
  end)
end)

describe("MQTT and the host's end", function()
  teardown(Host.cleanup)

  it("tells clients that it shuts down", function()
    host = Host.start {}
    local five, four = client { id = "five" }, client { id = "four", version = 4 }
    host:signal "sigterm"
    five:dismissed(0x8B)
    four:closed()
    assert.same({ 0, 0 }, { host.process:wait() })
  end)
end)
