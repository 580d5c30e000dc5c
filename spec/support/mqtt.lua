-- SPDX-License-Identifier: Apache-2.0
-- An MQTT client that says exactly what a spec wants, also what is wrong, and answers nothing
-- by itself. For everyday clients use mosquitto_sub or Paho beside it.
--
--   local c = Mqtt.connect(host.ports.mqtt, { id = "a", version = 5 })
--   c:subscribe("t/#", 1)
--   c:publish("t/1", "x", { qos = 1 })
--   local m = c:read "PUBLISH"
local loop = require "support.loop"
local wire = require "support.mqtt_wire"
local Tcp = require "support.tcp"

-- names: of the standards, by protocol level
local Mqtt = { wire = wire, names = { [4] = "MQTT 3.1.1", [5] = "MQTT 5.0" } }
Mqtt.__index = Mqtt

--- A connection without a word.
function Mqtt.open(port, version)
  local self = { tcp = Tcp.connect(port), version = version or 5, next_id = 0, half = {} }
  return setmetatable(self, Mqtt)
end

--- Sends CONNECT and takes the CONNACK, which must be good unless refused is set.
--- @param options table? of CONNECT: id, version, clean, props, will, … (mqtt_wire.connect)
--- @param more table? options that go over those
function Mqtt.connect(port, options, more)
  local all = { version = 5 }
  for _, list in ipairs { options or {}, more or {} } do
    for key, value in pairs(list) do all[key] = value end
  end
  options = all
  local self = Mqtt.open(port, options.version)
  self:send(wire.connect(options))
  self.connack = self:read "CONNACK"
  if self.connack.reason ~= 0 and not options.refused then
    error(("CONNACK with 0x%02x: %s"):format(self.connack.reason,
      self.connack.props.reason or "no words"), 2)
  end
  return self
end

function Mqtt:send(bytes)
  self.tcp:send(bytes)
  return self
end

function Mqtt:packet_id()
  self.next_id = self.next_id % 65535 + 1
  return self.next_id
end

local function take(self)
  local packet, after = wire.decode(self.version, self.tcp.data, 1)
  if packet then self.tcp.data = self.tcp.data:sub(after) end
  return packet
end

--- The next packet, which must be of `kind` if that is given.
function Mqtt:read(kind, ms)
  local packet
  loop.await(function()
    packet = take(self)
    return packet or self.tcp.ended
  end, function()
    return ("%s; came: %s"):format(kind or "a packet", Tcp.hex(self.tcp.data:sub(1, 32)))
  end, ms)
  if not packet then error(("the peer closed (%s) before %s"):format(self.tcp.ended, kind), 2) end
  if kind and packet.type ~= kind then
    error(("wanted %s, got %s (reason %s, topic %s)"):format(kind, packet.type,
      packet.reason, packet.topic), 2)
  end
  return packet
end

--- The next packet is a PUBLISH, and this one; it is not answered.
function Mqtt:expect(payload, dup, id)
  local m = self:read "PUBLISH"
  if m.payload ~= payload or m.dup ~= dup or (id or m.packet_id) ~= m.packet_id then
    error(("wanted %s (DUP %s, identifier %s), got %s (%s, %s)"):format(payload, dup, id,
      m.payload, m.dup, m.packet_id), 2)
  end
  return m
end

--- Goes on with the session of `other`: with its QoS 2 messages that are half received.
function Mqtt:resume(other)
  self.half, self.resumed = other.half, true
  return self
end

--- The next packet that is not the second half of a receive() with QoS 2: that is answered.
local function read_past_halves(self, ms)
  while true do
    local packet = self:read(nil, ms)
    local half = self.half[packet.packet_id] or self.resumed -- PUBCOMP may have been lost
    if packet.type ~= "PUBREL" or not half then return packet end
    if packet.reason ~= 0 then error(("PUBREL with 0x%02x"):format(packet.reason), 2) end
    self.half[packet.packet_id] = nil
    self:send(wire.ack("PUBCOMP", packet.packet_id))
  end
end

--- The next PUBLISH, acknowledged as its QoS demands. `known`: a QoS 2 message that was taken
--- before, on an earlier connection that this one resumed.
function Mqtt:receive(ms)
  local m = read_past_halves(self, ms)
  if m.type ~= "PUBLISH" then error(("wanted PUBLISH, got %s"):format(m.type), 2) end
  if m.qos == 1 then self:send(wire.ack("PUBACK", m.packet_id)) end
  if m.qos == 2 then
    m.known = self.half[m.packet_id]
    self.half[m.packet_id] = true
    self:send(wire.ack("PUBREC", m.packet_id))
  end
  return m
end

--- Publishes and takes the answers. @return the last of them
function Mqtt:publish(topic, payload, o)
  o = o or {}
  if (o.qos or 0) > 0 then o.packet_id = o.packet_id or self:packet_id() end
  self:send(wire.publish(self.version, topic, payload, o))
  if o.qos == 1 then return self:read "PUBACK" end
  if o.qos ~= 2 then return end
  local rec = self:read "PUBREC"
  if rec.reason >= 0x80 then return rec end
  self:send(wire.ack("PUBREL", o.packet_id))
  return self:read "PUBCOMP"
end

--- One filter and its options byte (the QoS), or a list of { filter, options }. @return codes
function Mqtt:subscribe(filters, options, props)
  if type(filters) == "string" then filters = { { filters, options or 0 } } end
  self:send(wire.subscribe(self.version, self:packet_id(), filters, props))
  return self:read("SUBACK").codes
end

function Mqtt:unsubscribe(...)
  self:send(wire.unsubscribe(self.version, self:packet_id(), { ... }))
  return self:read("UNSUBACK").codes
end

--- A PINGREQ and its answer: all that was sent before has been dealt with, and what the server
--- had for this client by then is here. @return packets that came before the PINGRESP
function Mqtt:settle()
  local before = {}
  self:send "\xC0\0"
  while true do
    local packet = read_past_halves(self)
    if packet.type == "PINGRESP" then return before end
    before[#before + 1] = packet
  end
end

--- Says good-bye and waits until the server has closed.
function Mqtt:disconnect(reason, props)
  self:send(wire.disconnect(self.version, reason, props))
  self.tcp:await_close()
  self.tcp:close()
end

--- The server says DISCONNECT with `reason` (MQTT 5) and closes.
function Mqtt:dismissed(reason)
  if self.version >= 5 then
    local packet = self:read "DISCONNECT"
    if packet.reason ~= reason then
      error(("DISCONNECT with 0x%02x, not 0x%02x"):format(packet.reason, reason), 2)
    end
  end
  self:closed()
end

function Mqtt:closed(ms)
  local rest, how = self.tcp:read_all(ms)
  if rest ~= "" then error("bytes before the end: " .. Tcp.hex(rest), 2) end
  self.tcp:close()
  return how
end

--- Vanishes without a word.
function Mqtt:drop() self.tcp:close() end

return Mqtt
