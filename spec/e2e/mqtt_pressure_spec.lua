-- SPDX-License-Identifier: Apache-2.0
-- Publishers that send without a pause to a subscriber that has stopped reading: the host's
-- memory stays within the session's bounds, every message that went is counted and told, and
-- who reads gets all of his own meanwhile.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local exposition = require "support.exposition"
local wire = Mqtt.wire

local PUBLISHERS, EACH, SIZE = 3, 1500, 10000 -- 45 MB

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

local function resident()
  local status = Host.read(("/proc/%d/status"):format(host.pid))
  return tonumber(status:match "VmRSS:%s+(%d+)") / 1024
end

local function scrape()
  local _, text = host:api("GET", "/metrics")
  return exposition.parse(text)
end

local function start(limits)
  host = Host.start { config = { limits = limits,
    listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true,
      options = { receive_maximum = 65535 } } } } }
end

--- Everything at once, by all publishers; what comes back lies in their buffers.
local function flood(qos)
  local payload = ("x"):rep(SIZE)
  local pubs = {}
  for p = 1, PUBLISHERS do
    pubs[p] = client { id = "flood" .. p, version = 4 }
    for i = 1, EACH do
      pubs[p]:send(wire.publish(4, "deluge", ("%d:%05d:"):format(p, i) .. payload,
        { qos = qos, packet_id = qos > 0 and i or nil }))
    end
  end
  return pubs
end

--- A pair that goes on, message by message. @return the most memory that was seen
local function steady(pub, fast, qos, n, most)
  for i = 1, n do
    pub:send(wire.publish(5, "steady", tostring(i), { qos = qos,
      packet_id = qos > 0 and pub:packet_id() or nil }))
    assert.equal(tostring(i), fast:receive().payload)
    if qos > 0 then assert.equal(0, pub:read("PUBACK").reason) end
    most = math.max(most, resident())
  end
  return most
end

local function finished(pubs, qos)
  for _, pub in ipairs(pubs) do
    for i = 1, qos > 0 and EACH or 0 do assert.equal(i, pub:read("PUBACK").packet_id) end
    pub:settle()
  end
end

--- What the slow one had kept for it comes in each publisher's order. @return how many
local function read_all(slow)
  local last, n = {}, 0
  local function take(m)
    local p, i = m.payload:match "^(%d):(%d+):"
    assert.is_true(tonumber(i) > (last[p] or 0))
    last[p] = tonumber(i)
    n = n + 1
    if m.qos == 1 then slow:send(wire.ack("PUBACK", m.packet_id)) end
  end
  slow.tcp:resume()
  Host.eventually(function() -- the queue behind a PINGRESP goes on as it is acknowledged
    local held = host:metric "tidegate_queued_messages" + host:metric "tidegate_inflight_messages"
    for _, m in ipairs(slow:settle()) do take(m) end
    return held == 0 -- before that PINGREQ
  end, "what was kept")
  return n
end

describe("a subscriber that has stopped reading", function()
  after_each(function() host:stop() Host.cleanup() end)

  for qos = 0, 1 do
    it("costs its own messages of QoS " .. qos .. ", and bounded memory", function()
      start()
      local slow, fast = client { id = "slow" }, client { id = "fast" }
      local pub = client { id = "pub" }
      slow:subscribe("deluge", qos)
      fast:subscribe("steady", qos)
      steady(pub, fast, qos, 20, 0)
      slow.tcp:pause()
      local before = resident()
      local pubs = flood(qos)
      local most = steady(pub, fast, qos, 300, before)
      finished(pubs, qos)
      local told = nil
      Host.eventually(function() -- the slow one's worker has had all that theirs gave it
        local last = told
        told = select(2, host:api("GET", "/api/v1/clients/slow")).dropped
        return told == last
      end, "the last of them to arrive")
      most = math.max(most, resident())
      assert.is_true(Host.sanitized or most - before < 25,
        ("the host grew by %.1f MiB"):format(most - before))
      local families = scrape()
      assert.is_true(exposition.sum(families, "tidegate_queued_bytes") <= 1048576)
      local function dropped(reason)
        return exposition.sum(families, "tidegate_messages_dropped_total",
          { reason = reason, qos = tostring(qos) })
      end
      local lost = dropped "queue_bytes" + dropped "queue_full"
      assert.equal(lost, exposition.sum(families, "tidegate_messages_dropped_total"))
      assert.equal(0, select(2, host:api("GET", "/api/v1/clients/fast")).dropped)
      assert.equal(lost, select(2, host:api("GET", "/api/v1/clients/slow")).dropped)
      host:log_line '"msg":"message dropped","client":"slow","topic":"deluge"'
      assert.equal(PUBLISHERS * EACH, read_all(slow) + lost)
    end)
  end

  it("gets no more at once than limits.inflight_bytes", function()
    start { inflight_bytes = "20KiB" }
    local slow, pub = client { id = "slow" }, client { id = "pub" }
    slow:subscribe("t", 1)
    for i = 1, 5 do pub:publish("t", i .. ("x"):rep(8000), { qos = 1 }) end
    local first = slow:read "PUBLISH"
    assert.equal("1", first.payload:sub(1, 1))
    assert.equal("2", slow:read("PUBLISH").payload:sub(1, 1))
    assert.same({}, slow:settle())
    slow:send(wire.ack("PUBACK", first.packet_id))
    assert.equal("3", slow:read("PUBLISH").payload:sub(1, 1))
    assert.same({}, slow:settle())
  end)

  it("and answers nothing for limits.inflight_age is cut, and keeps its session", function()
    start { inflight_age = "2s", inflight = 1 }
    local options = { id = "slow", clean = false, props = { session_expiry = 100 } }
    local slow, pub = client(options), client { id = "pub" }
    slow:subscribe("t", 1)
    pub:publish("t", "1", { qos = 1 })
    assert.equal("1", slow:read("PUBLISH").payload)
    slow:dismissed(0x97) -- though nothing else comes
    slow = client(options)
    assert.equal("1", slow:receive().payload)
    assert.same({}, slow:settle())
  end)
end)
