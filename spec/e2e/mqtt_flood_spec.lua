-- SPDX-License-Identifier: Apache-2.0
-- Too much of everything, and everything wrong, one after the other on one host: it costs the
-- client that does it, gets the standard's reason and is counted, memory stays where it was, and
-- afterwards timers, wills, expiries and all that clients do every day are as in a fresh host.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local everyday = require "support.mqtt_everyday"
local lives = require "support.mqtt_lives"
local bad = require "support.mqtt_mistakes"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

local function resident()
  local status = Host.read(("/proc/%d/status"):format(host.pid))
  return tonumber(status:match "VmRSS:%s+(%d+)") / 1024
end

local function assert_grew_less(before, mebibytes)
  local grown = resident() - before
  assert.is_true(Host.sanitized or grown < mebibytes, ("the host grew by %.1f MiB"):format(grown))
end

local function counted(name, labels)
  return host:metric(("tidegate_%s{listener=\"mqtt\"%s}"):format(name, labels or "")) or 0
end

--- A client where strangers are closed soon; once more if the machine was not fast enough.
local function connect_in_time(port)
  local c
  Host.eventually(function()
    c = Mqtt.open(port)
    c:send(wire.connect { id = "c", version = 5 })
    Host.await(function() return c.tcp.ended or #c.tcp.data > 0 end, "CONNACK")
    return #c.tcp.data > 0
  end, "a client that is in time")
  assert.equal(0, c:read("CONNACK").reason)
  return c
end

--- A byte to each of them again and again, until the host has ended all.
local function drip(clients)
  Host.eventually(function()
    local open = 0
    for _, c in ipairs(clients) do
      if not c.tcp.ended then
        open = open + 1
        c:send "\0"
      end
    end
    return open == 0
  end, "the end of those who drip")
end

describe("MQTT floods", function()
  setup(function()
    host = Host.start { config = { listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "strict", adapter = "mqtt", anonymous = true, limits = { first_frame = "1s" } },
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
    for i = 1, 1500 do
      pub:send(wire.publish(5, "flood", ("%05d"):format(i) .. payload))
      if i % 50 == 0 then
        for j = i - 49, i do
          assert.equal(("%05d"):format(j), fast:receive().payload:sub(1, 5))
        end
      end
    end
    assert_grew_less(before, 15)
    slow.tcp:resume()
    local last = 0
    Host.eventually(function()
      local held = host:metric "tidegate_queued_messages"
      for _, m in ipairs(slow:settle()) do
        local n = tonumber(m.payload:sub(1, 5))
        assert.is_true(n > last)
        last = n
      end
      return held == 0
    end, "what was kept")
    assert.is_true(last > 0)
    pub:publish("flood", "99999") -- it is served as before
    repeat local m = slow:receive() until m.payload == "99999"
    for _, c in ipairs { slow, fast, pub } do c:drop() end
  end)

  it("of answers to a client that does not read stop the reading of it", function()
    local deaf, other = client { id = "deaf" }, client { id = "other" }
    local before = resident()
    deaf.tcp:pause()
    local pings = ("\xC0\0"):rep(100000)
    for _ = 1, 50 do deaf:send(pings) end
    assert.same({}, other:settle())
    Host.pass(500)
    assert_grew_less(before, 20)
    deaf.tcp:resume()
    local got = 0
    Host.await(function()
      got = got + #deaf.tcp.data
      deaf.tcp.data = ""
      return got == 50 * 100000 * 2
    end, function() return ("10 MB of PINGRESP, have %d"):format(got) end)
    deaf:drop()
    other:disconnect()
  end)

  it("of malformed packets end their connections, each with its reason", function()
    local before, n = counted "mqtt_protocol_errors_total", 0
    for version = 4, 5 do
      for _, mistake in ipairs(bad.all(version)) do
        local c = client { id = "bad", version = version }
        c:send(mistake[2])
        c:dismissed(mistake[1])
        n = n + 1
      end
    end
    assert.equal(n, counted "mqtt_protocol_errors_total" - before)
  end)

  it("of packets that are cut, or go on behind their end, do nothing", function()
    local witness = client { id = "witness" }
    witness:subscribe("#", 2)
    local function will() return { topic = "cut", payload = "x" } end
    for version = 4, 5 do
      local packets = { wire.publish(version, "cut", "x", { qos = 2, retain = true }),
        wire.subscribe(version, 1, { { "cut/#", 1 } }), wire.unsubscribe(version, 1, { "cut" }),
        wire.ack("PUBREL", 1) }
      for _, packet in ipairs(packets) do
        for cut = 1, #packet - 1 do
          local c = client { id = "cut", version = version }
          c:send(packet:sub(1, cut))
          c:drop()
        end
      end
      local connect = wire.connect { id = "cut", version = version, will = will() }
      for cut = 1, #connect - 1 do
        local c = Mqtt.open(host.ports.mqtt, version)
        c:send(connect:sub(1, cut))
        c:drop()
      end
      for _, first in ipairs { 0x40, 0x50, 0x62, 0x70, 0xC0, 0xE0 } do
        if version == 4 or first == 0xC0 then
          local c = client { id = "long", version = version }
          c:send(wire.packet(first, ("\0\1"):rep(100)))
          c:dismissed(0x81)
        end
      end
      local c = Mqtt.open(host.ports.mqtt, version)
      c:send(wire.packet(0x10, connect:sub(3) .. "x"))
      if version == 5 then assert.equal(0x81, c:read("CONNACK").reason) end
      c:closed()
    end
    assert.same({}, witness:settle())
    witness:disconnect()
  end)

  it("of bytes that never become a packet end as silence does [5.0: 3.1.2-22] "
    .. "[3.1.1: 3.1.2-24]", function()
    local strangers, half = {}, {}
    for i = 1, 50 do
      strangers[i] = Mqtt.open(host.ports.strict):send "\x10\xFF\xFF\x03"
    end
    drip(strangers)
    for i = 1, 50 do
      half[i] = client { id = "half" .. i, keepalive = 1, version = 4 + i % 2 }
      half[i]:send "\x30\xFF\xFF\x3E\0\1t"
    end
    drip(half)
    for _, c in ipairs(half) do c:dismissed(0x8D) end
    local before = resident()
    for i = 1, 200 do -- a megabyte each was announced, and nothing is set aside for it
      half[i] = client { id = "half" .. i, keepalive = 0 }
      half[i]:send("\x30\xFF\xFF\x3E\0\1t" .. ("x"):rep(100))
    end
    client { id = "whole" }:disconnect()
    assert_grew_less(before, 5)
    for _, c in ipairs(half) do c:drop() end
  end)

  it("of connections without a CONNECT are closed", function()
    local strangers = {}
    for i = 1, 200 do strangers[i] = Mqtt.open(host.ports.strict) end
    for i = 1, 200, 2 do strangers[i]:send "\x10" end
    local c = connect_in_time(host.ports.strict)
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
    local before = resident()
    for _, deep in ipairs { ("a/"):rep(30000) .. "a", ("/"):rep(65535), ("a/"):rep(128) .. "a" } do
      for _ = 1, 20 do
        assert.equal(0x97, c:publish(deep, "x", { qos = 1, retain = true }).reason)
        assert.same({ 0x97, 0x97 }, c:subscribe { { deep, 0 }, { deep:gsub("a", "+"), 0 } })
      end
      client { id = "dying", will = { topic = deep, payload = "x", retain = true } }:drop()
    end
    assert_grew_less(before, 5)
    c:settle()
    c:disconnect()
  end)

  it("of filters that match everything bring each message once", function()
    local all, pub = {}, client { id = "pub" }
    for i = 1, 50 do
      all[i] = client { id = "all" .. i }
      all[i]:subscribe { { "#", 0 }, { "+/#", 0 }, { "+/+/#", 0 }, { "+/+/+", 0 } }
    end
    local before = resident()
    for i = 1, 100 do pub:publish("every/thing/" .. i, tostring(i)) end
    for _, c in ipairs(all) do
      for i = 1, 100 do assert.equal(tostring(i), c:receive().payload) end
      assert.same({}, c:settle())
    end
    assert_grew_less(before, 10)
    for _, c in ipairs(all) do c:disconnect() end
    pub:disconnect()
  end)

  it("of messages that are never acknowledged fill a window and a queue", function()
    local deaf, fast, pub = client { id = "never" }, client { id = "fast" }, client { id = "pub" }
    deaf:subscribe("ack", 2)
    fast:subscribe("ack", 2)
    local full = 'tidegate_messages_dropped_total{reason="queue_full",qos="%d"}'
    local before = resident()
    for i = 1, 1500 do
      assert.is_true(pub:publish("ack", i .. ("x"):rep(500), { qos = 1 + i % 2 }).reason < 0x80)
      assert.equal(tostring(i), fast:receive().payload:match "^%d+")
    end
    assert_grew_less(before, 20)
    assert.equal(32, #deaf:settle())
    Host.eventually(function()
      return host:metric(full:format(1)) + host:metric(full:format(2)) >= 400
    end, "what was too much to be dropped")
    deaf:drop()
    fast:disconnect()
    pub:disconnect()
  end)

  it("of acknowledgements of what was not sent are answered and counted", function()
    local before = counted "mqtt_unknown_acks_total"
    for version = 4, 5 do
      local c = client { id = "acks", version = version }
      for i = 1, 500 do
        for _, name in ipairs { "PUBACK", "PUBREC", "PUBREL", "PUBCOMP" } do
          c:send(wire.ack(name, i))
        end
      end
      for i = 1, 500 do
        for _, name in ipairs { "PUBREL", "PUBCOMP" } do
          local answer = c:read(name)
          assert.equal(i, answer.packet_id)
          assert.equal(version == 5 and 0x92 or 0, answer.reason)
        end
      end
      assert.same({}, c:settle())
      c:disconnect()
    end
    assert.equal(4000, counted "mqtt_unknown_acks_total" - before)
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
      c = client { id = "owner", keepalive = 2, will = { topic = "owner", payload = "gone" } }
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

  for version = 3, 5 do
    describe(("are over: MQTT level %d"):format(version), function()
      everyday(_ENV, version, client)
    end)
  end

  describe("are over: sessions", function() lives(_ENV, client) end)
end)
