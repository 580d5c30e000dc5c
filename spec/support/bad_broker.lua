-- SPDX-License-Identifier: Apache-2.0
-- An MQTT 3.1.1 broker that does wrong on purpose: what a load generator must notice. It knows
-- exact filters and QoS 0 alone. options:
--   connack   the return code (0); false: never answers
--   suback    the return code (0)
--   forward   function(send, packet, n): what becomes of the nth PUBLISH; `send` delivers
local uv = require "luv"
local loop = require "support.loop"
local wire = require "support.mqtt_wire"

local Broker = {}
Broker.__index = Broker

local alive = {}

local ON = {}

function ON.CONNECT(self, conn)
  if self.connack then conn:write(wire.packet(0x20, "\0" .. string.char(self.connack))) end
end

function ON.SUBSCRIBE(self, conn, body)
  local filter = string.unpack(">s2", body, 3)
  self.subs[filter] = self.subs[filter] or {}
  table.insert(self.subs[filter], conn)
  conn:write(wire.packet(0x90, body:sub(1, 2) .. string.char(self.suback or 0)))
end

function ON.PUBLISH(self, _, body, packet)
  self.published = self.published + 1
  local subs = self.subs[(string.unpack(">s2", body))] or {}
  self.forward(function(bytes)
    for _, sub in ipairs(subs) do
      if not sub:is_closing() then sub:write(bytes) end
    end
  end, packet, self.published)
end

local TYPES = { [1] = "CONNECT", [3] = "PUBLISH", [8] = "SUBSCRIBE" }

local function take(self, conn, data)
  local at = 1
  while at < #data do
    local len, body = wire.read_varint(data, at + 1)
    if not len or #data < body + len - 1 then break end
    local on = ON[TYPES[data:byte(at) >> 4]]
    if on then on(self, conn, data:sub(body, body + len - 1), data:sub(at, body + len - 1)) end
    at = body + len
  end
  return data:sub(at)
end

local function accept(self)
  local conn, rest = uv.new_tcp(), ""
  self.server:accept(conn)
  self.conns[#self.conns + 1] = conn
  conn:read_start(function(_, chunk)
    if chunk then rest = take(self, conn, rest .. chunk)
    elseif not conn:is_closing() then conn:close() end
  end)
end

--- @return a broker with its `port`
function Broker.start(options)
  local self = setmetatable({ subs = {}, conns = {}, published = 0 }, Broker)
  self.connack = options.connack == nil and 0 or options.connack
  self.suback = options.suback
  self.forward = options.forward or function(send, packet) send(packet) end
  self.port, self.server = loop.free_port(), uv.new_tcp()
  assert(self.server:bind("127.0.0.1", self.port))
  assert(self.server:listen(64, function() accept(self) end))
  alive[self] = true
  return self
end

function Broker.cleanup()
  for self in pairs(alive) do
    for _, conn in ipairs(self.conns) do
      if not conn:is_closing() then conn:close() end
    end
    self.server:close()
    alive[self] = nil
  end
  uv.run "nowait"
end

return Broker
