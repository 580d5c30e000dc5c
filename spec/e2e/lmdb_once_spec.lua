-- SPDX-License-Identifier: Apache-2.0
-- QoS 2 from publishers that come back for what was open when the host was killed: whichever of
-- several workers had its part on disk by then, each message reaches each subscriber once.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local WINDOW, SUBSCRIBERS = 16, 3

local folder, host

local function start()
  host = Host.start { config = { workers = 4,
    store = { plugin = "lmdb", path = folder .. "/store" },
    limits = { queue_messages = 100000, queue_bytes = "64MiB" },
    listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } } } }
end

local function kill()
  host.process:kill "sigkill"
  host.process:wait()
end

local function client(id, version)
  return Mqtt.connect(host.ports.mqtt,
    { id = id, clean = false, version = version, props = { session_expiry = 1000 } })
end

--- Numbered messages, each kept until its PUBCOMP, as the standard asks of a client.
local Publisher = {}
Publisher.__index = Publisher

function Publisher.new(name, version)
  local self = { name = name, version = version, sent = 0, answered = 0, open = {}, order = {} }
  self.client = client(name, version)
  return setmetatable(self, Publisher)
end

function Publisher:send(id, dup)
  self.client:send(wire.publish(self.version, "once/" .. self.name,
    ("%s %d"):format(self.name, self.open[id].number), { qos = 2, packet_id = id, dup = dup }))
end

function Publisher:fill()
  for id = 1, WINDOW do
    if not self.open[id] then
      self.sent = self.sent + 1
      self.open[id] = { number = self.sent }
      self.order[#self.order + 1] = id
      self:send(id)
    end
  end
end

--- Takes one answer. @return a message is safe
function Publisher:step()
  local packet = self.client:read()
  local id = packet.packet_id
  if packet.type == "PUBREC" then
    assert.is_true(packet.reason < 0x80, "PUBREC " .. packet.reason)
    self.open[id].received = true
    self.client:send(wire.ack("PUBREL", id))
    return true
  end
  assert.equal("PUBCOMP", packet.type)
  self.open[id] = nil
  for i, other in ipairs(self.order) do
    if other == id then table.remove(self.order, i) break end
  end
  return false
end

function Publisher:come_back()
  self.client = client(self.name, self.version)
  assert.is_true(self.client.connack.present)
  for _, id in ipairs(self.order) do
    if self.open[id].received then
      self.client:send(wire.ack("PUBREL", id))
    else
      self:send(id, true)
    end
  end
end

function Publisher:finish()
  while #self.order > 0 do self:step() end
  self.client:disconnect()
end

local Reader = {}
Reader.__index = Reader

function Reader.new(name, version)
  local self = setmetatable({ name = name, version = version, seen = {}, count = 0 }, Reader)
  self.client = client(name, version)
  self.client:subscribe("once/#", 2)
  return self
end

function Reader:come_back()
  self.client = client(self.name, self.version):resume(self.client)
end

function Reader:take()
  local m = self.client:receive()
  if m.known then return end
  assert.is_nil(self.seen[m.payload], ("%s came twice to %s"):format(m.payload, self.name))
  self.seen[m.payload] = true
  self.count = self.count + 1
end

describe("QoS 2 on disk with several workers", function()
  before_each(function() folder = Host.folder() end)
  after_each(Host.cleanup)

  it("comes once to each subscriber through kill -9 at any moment", function()
    start()
    local readers, publishers, total = {}, {}, 0
    for i = 1, SUBSCRIBERS do readers[i] = Reader.new("reader" .. i, 3 + 1 + i % 2) end
    for i = 1, 4 do publishers[i] = Publisher.new("p" .. i, 4 + i % 2) end
    readers[1].client:disconnect() -- away all the time
    for _ = 1, 6 do
      for _ = 1, math.random(3, 40) do
        for _, p in ipairs(publishers) do
          p:fill()
          p:step()
        end
        readers[2]:take()
        readers[3]:take()
      end
      kill()
      start()
      for _, p in ipairs(publishers) do p:come_back() end
      readers[2]:come_back()
      readers[3]:come_back()
    end
    for _, p in ipairs(publishers) do
      p:finish()
      total = total + p.sent
    end
    readers[1]:come_back()
    for _, r in ipairs(readers) do
      while r.count < total do r:take() end
      assert.same({}, r.client:settle())
      r.client:disconnect()
    end
    host:stop()
  end)
end)
