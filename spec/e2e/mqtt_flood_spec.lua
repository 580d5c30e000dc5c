-- SPDX-License-Identifier: Apache-2.0
-- Too much of everything: what one client takes or sends too much of costs that client alone,
-- and memory stays where it was.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

-- Freed memory stays in a sanitizer's quarantine: it says nothing about a host.
local sanitized = not Host.build:find "release"

local function resident()
  local status = Host.read(("/proc/%d/status"):format(host.pid))
  return tonumber(status:match "VmRSS:%s+(%d+)") / 1024
end

local function assert_grew_less(before, mebibytes)
  local grown = resident() - before
  assert.is_true(sanitized or grown < mebibytes, ("the host grew by %.1f MiB"):format(grown))
end

describe("MQTT floods", function()
  setup(function()
    host = Host.start { config = { listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "strict", adapter = "mqtt", anonymous = true, limits = { first_frame = "300ms" } },
      { name = "metered", adapter = "mqtt", anonymous = true, limits = { messages_rate = 100 } },
    } } }
  end)
  teardown(function() host:stop() Host.cleanup() end)

  it("fill only the queue of the subscriber that does not read", function()
    local slow, fast, pub = client { id = "slow" }, client { id = "fast" }, client { id = "pub" }
    slow:subscribe("flood", 0)
    fast:subscribe("flood", 0)
    slow.tcp:pause()
    local before = resident()
    local payload = ("x"):rep(20000)
    for i = 1, 3000 do
      pub:send(wire.publish(5, "flood", ("%05d"):format(i) .. payload))
      if i % 50 == 0 then
        for j = i - 49, i do
          assert.equal(("%05d"):format(j), fast:receive().payload:sub(1, 5))
        end
      end
    end
    assert_grew_less(before, 40)
    slow.tcp:resume()
    local last = 0
    repeat
      local n = tonumber(slow:receive().payload:sub(1, 5))
      assert.is_true(n > last)
      last = n
      if #slow.tcp.data == 0 then Host.pass(20) end
    until #slow.tcp.data == 0
    pub:publish("flood", "99999")
    repeat local m = slow:receive() until m.payload == "99999"
    for _, c in ipairs { slow, fast, pub } do c:drop() end
  end)

  it("of answers to a client that does not read stop the reading of it", function()
    local deaf, other = client { id = "deaf" }, client { id = "other" }
    local before = resident()
    deaf.tcp:pause()
    local pings = ("\xC0\0"):rep(100000)
    for _ = 1, 100 do deaf:send(pings) end
    assert.same({}, other:settle())
    Host.pass(500)
    assert_grew_less(before, 20)
    deaf.tcp:resume()
    local got = 0
    Host.await(function()
      got = got + #deaf.tcp.data
      deaf.tcp.data = ""
      return got == 100 * 100000 * 2
    end, function() return ("20 MB of PINGRESP, have %d"):format(got) end, 60000)
    deaf:drop()
    other:disconnect()
  end)

  it("of connections without a CONNECT are closed", function()
    local strangers = {}
    for i = 1, 200 do strangers[i] = Mqtt.open(host.ports.strict) end
    for i = 1, 200, 2 do strangers[i]:send "\x10" end
    local c = Mqtt.connect(host.ports.strict, { id = "c" })
    for _, s in ipairs(strangers) do s:closed() end
    c:settle()
    c:disconnect()
  end)

  it("of subscriptions end at the host's limit", function()
    local c = client { id = "subs" }
    local filters = {}
    for i = 1, 1200 do filters[i] = { "sub/" .. i, 1 } end
    local codes = c:subscribe(filters)
    local good = 0
    for _, code in ipairs(codes) do
      assert.is_true(code == 1 or code == 0x97)
      good = good + (code == 1 and 1 or 0)
    end
    assert.equal(1000, good)
    c:disconnect()
  end)

  it("of levels are refused", function()
    local c = client { id = "deep" }
    local deep = ("a/"):rep(30000) .. "a"
    assert.equal(0x97, c:publish(deep, "x", { qos = 1 }).reason)
    assert.same({ 0x97 }, c:subscribe(deep, 0))
    c:settle()
    c:disconnect()
  end)

  it("of messages are slowed to the listener's rate, none is lost", function()
    local sub = client { id = "sub" }
    sub:subscribe("metered", 0)
    local c = Mqtt.connect(host.ports.metered, { id = "c" })
    local bytes = {}
    for i = 1, 150 do bytes[i] = wire.publish(5, "metered", tostring(i)) end
    c:send(table.concat(bytes))
    for i = 1, 150 do assert.equal(tostring(i), sub:receive().payload) end
    c:disconnect()
    sub:disconnect()
  end)

  it("of wills are all published, once each", function()
    local sub = client { id = "sub" }
    sub:subscribe("wills/#", 1)
    local dying = {}
    for i = 1, 300 do
      dying[i] = client { id = "dying" .. i,
        will = { topic = "wills/" .. i, payload = tostring(i), qos = 1 } }
    end
    for _, c in ipairs(dying) do c.tcp:reset() end
    local seen = {}
    for _ = 1, 300 do
      local m = sub:receive()
      assert.is_nil(seen[m.payload])
      seen[m.payload] = true
    end
    assert.same({}, sub:settle())
    sub:disconnect()
  end)

  it("of takeovers leave one owner, and its timers", function()
    local sub = client { id = "watch" }
    sub:subscribe("owner", 0)
    local c
    for _ = 1, 300 do
      local old = c
      c = client { id = "owner", keepalive = 1, will = { topic = "owner", payload = "gone" } }
      if old then old:dismissed(0x8E) end
    end
    -- MQTT 5.0 §3.1.2.5: a connection that was taken over without its session's end being
    -- put off has a will to publish.
    for _ = 1, 299 do assert.equal("gone", sub:receive().payload) end
    c:dismissed(0x8D) -- its keep alive still works
    assert.equal("gone", sub:receive().payload)
    assert.same({}, sub:settle())
    sub:disconnect()
  end)
end)
