-- SPDX-License-Identifier: Apache-2.0
-- A device on a UDP socket: sends datagrams, awaits datagrams. Nothing here knows a protocol.
local uv = require "luv"
local loop = require "support.loop"

local Udp = require "support.socket"()

--- A socket with a port of its own. What came waits in `self.got`.
function Udp.open(port, address)
  local self = setmetatable({ got = {}, handle = uv.new_udp() }, Udp)
  self.port, self.address = port, address or "127.0.0.1"
  self.handle:bind(self.address:find ":" and "::1" or "127.0.0.1", 0)
  self.handle:recv_start(function(_, bytes)
    if bytes then self.got[#self.got + 1] = bytes end
  end)
  return self:opened()
end

--- One datagram.
function Udp:send(bytes)
  self.handle:send(bytes, self.address, self.port, function() end)
  uv.run "nowait"
  return self
end

--- Takes the next datagram.
function Udp:read(ms)
  loop.await(function() return self.got[1] end, "a datagram", ms)
  return table.remove(self.got, 1)
end

--- Goes on from another port, as behind an address translator that has forgotten it.
function Udp:move()
  local next = Udp.open(self.port, self.address)
  self:close()
  return next
end

return Udp
