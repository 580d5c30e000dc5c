-- SPDX-License-Identifier: Apache-2.0
-- One client that connects again and again, each time on whatever worker accepts it, while
-- numbered messages are published to it: never backwards, nothing of QoS 1 and 2 lost, nothing
-- of QoS 2 doubled.
local uv = require "luv"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

-- What the hopper has seen of each QoS; fails where the order or the count is wrong.
local function ledger()
  local last = { [0] = 0, 0, 0 }
  local function check(m)
    local n = tonumber(m.payload)
    if m.qos == 2 then
      if m.known then return end
      assert(n == last[2] + 1, ("QoS 2: %d after %d"):format(n, last[2]))
    elseif m.qos == 1 then
      assert(n == last[1] + 1 or (m.dup and n <= last[1]),
        ("QoS 1: %d after %d"):format(n, last[1]))
    else
      assert(n > last[0], ("QoS 0: %d after %d"):format(n, last[0]))
    end
    last[m.qos] = math.max(last[m.qos], n)
  end
  return last, check
end

-- Publishes the next number with each QoS and answers what came for earlier ones.
local function publish(pub, n)
  local id = n % 20000 * 2 + 1
  pub:send(wire.publish(5, "hop", tostring(n))
    .. wire.publish(5, "hop", tostring(n), { qos = 1, packet_id = id })
    .. wire.publish(5, "hop", tostring(n), { qos = 2, packet_id = id + 1 }))
end

local function answer(pub, unanswered)
  while true do
    local packet, after = wire.decode(5, pub.tcp.data, 1)
    if not packet then return unanswered end
    pub.tcp.data = pub.tcp.data:sub(after)
    assert(packet.reason < 0x80, packet.type)
    if packet.type == "PUBREC" then
      pub:send(wire.ack("PUBREL", packet.packet_id))
    else
      unanswered = unanswered - 1
    end
  end
end

local function hop_for(hops, config)
  host = Host.start { config = config }
  local options = { id = "hopper", clean = false, props = { session_expiry = 1000 } }
  local pub = Mqtt.connect(host.ports.mqtt, { id = "pub" })
  local c = Mqtt.connect(host.ports.mqtt, options)
  c:subscribe("hop", 2)
  local last, check = ledger()
  local unanswered = 0
  for hop = 1, hops do
    publish(pub, hop)
    unanswered = answer(pub, unanswered + 2)
    for _ = 1, hop % 5 do uv.run "nowait" end
    while #c.tcp.data > 0 and hop % 3 ~= 0 do
      local there, m = pcall(c.receive, c, 1)
      if not there then break end
      check(m)
    end
    if hop % 50 == 0 then -- caught up
      while last[1] < hop or last[2] < hop do check(c:receive()) end
    end
    local old = c
    c = Mqtt.connect(host.ports.mqtt, options):resume(old)
    assert.is_true(c.connack.present)
    old:drop()
  end
  while last[1] < hops or last[2] < hops do check(c:receive()) end
  Host.await(function()
    uv.run "nowait"
    unanswered = answer(pub, unanswered)
    return unanswered == 0
  end, "every acknowledgement")
  c:disconnect(0, { session_expiry = 0 })
  pub:disconnect()
  host:stop()
end

-- One QoS 2 message, whose publisher loses its connection at `cut`: 1 before PUBREC, 2 before
-- PUBREL, 3 before PUBCOMP. @return the connection that finished it
local function publish_with_cut(c, options, n, cut)
  local function again()
    local old = c
    c = Mqtt.connect(host.ports.mqtt, options)
    assert.is_true(c.connack.present)
    old:drop()
  end
  local id = n % 1000 + 1
  c:send(wire.publish(5, "pub/hop", tostring(n), { qos = 2, packet_id = id }))
  if cut == 1 then
    again()
    c:send(wire.publish(5, "pub/hop", tostring(n), { qos = 2, packet_id = id, dup = true }))
  end
  assert.equal(0, c:read("PUBREC").reason)
  if cut == 2 then again() end
  c:send(wire.ack("PUBREL", id))
  if cut == 3 then
    again()
    c:send(wire.ack("PUBREL", id))
    assert.is_true(c:read("PUBCOMP").reason ~= 0x80) -- 0x92 where the first one arrived
  else
    assert.equal(0, c:read("PUBCOMP").reason)
  end
  return c
end

local function publish_hopping(count, config)
  host = Host.start { config = config }
  local options = { id = "pub", clean = false, props = { session_expiry = 1000 } }
  local sub = Mqtt.connect(host.ports.mqtt, { id = "sub" })
  sub:subscribe("pub/hop", 2)
  local c = Mqtt.connect(host.ports.mqtt, options)
  for n = 1, count do
    c = publish_with_cut(c, options, n, n % 4)
    assert.equal(tostring(n), sub:receive().payload)
  end
  assert.same({}, sub:settle())
  c:disconnect(0, { session_expiry = 0 })
  sub:disconnect()
  host:stop()
end

local SLOW = { workers = 2, store = "slow", plugins = {
  { name = Host.build .. "/spec/plugins/slow_store.so", options = { delay = "20ms" } },
  { name = "mqtt" },
}, listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } } }

describe("a publisher that hops between workers", function()
  after_each(Host.cleanup)

  it("delivers each QoS 2 message once [5.0: 4.3.3-10]", function()
    publish_hopping(400, { workers = 2 })
  end)

  it("delivers each QoS 2 message once with a slow store", function()
    publish_hopping(60, SLOW)
  end)
end)

describe("a client that hops between workers", function()
  after_each(Host.cleanup)

  it("sees every message in order, 1,000 times [5.0: 4.4.0-1, 4.6.0-5]", function()
    hop_for(1000, { workers = 2 })
  end)

  it("sees every message in order when a slow store keeps them", function()
    hop_for(200, SLOW)
  end)
end)
