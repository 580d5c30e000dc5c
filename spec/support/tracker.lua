-- SPDX-License-Identifier: Apache-2.0
-- A GT06 tracker for specs, written from the fact sheet alone: what it sends owes nothing to
-- the adapter under test.
local Tcp = require "support.tcp"

local Tracker = {}
Tracker.__index = Tracker

--- CRC-16/X-25, bit by bit.
function Tracker.crc(bytes)
  local crc = 0xFFFF
  for i = 1, #bytes do
    crc = crc ~ bytes:byte(i)
    for _ = 1, 8 do crc = crc & 1 == 1 and (crc >> 1) ~ 0x8408 or crc >> 1 end
  end
  return crc ~ 0xFFFF
end

--- A short frame (78 78) of `kind`.
function Tracker.frame(kind, content, serial)
  local body = string.pack(">BB", #content + 5, kind) .. content .. string.pack(">I2", serial)
  return "\x78\x78" .. body .. string.pack(">I2", Tracker.crc(body)) .. "\r\n"
end

--- A position with a fix, north and east; `km_h` tells reports apart.
function Tracker.position(km_h, serial)
  local time = string.char(26, 11, 24, 6, 30, 0)
  local gps = string.pack(">BI4I4BI2", 0xC9, 56214720, 218652660, km_h, 0x1400 | 90)
  return Tracker.frame(0x12, time .. gps .. string.pack(">I2BI2I3", 460, 0, 0x2814, 8120), serial)
end

--- Connects; `imei` has 15 digits.
function Tracker.connect(port, imei)
  return setmetatable({ tcp = Tcp.connect(port), imei = imei, serial = 0 }, Tracker)
end

function Tracker:next_serial()
  self.serial = self.serial + 1
  return self.serial
end

--- Sends the login and awaits its answer.
function Tracker:login()
  local serial = self:next_serial()
  self.tcp:send(Tracker.frame(0x01, Tcp.bytes("0" .. self.imei), serial))
  self.tcp:expect(Tracker.frame(0x01, "", serial))
  return self
end

function Tracker:report(km_h)
  self.tcp:send(Tracker.position(km_h, self:next_serial()))
  return self
end

--- Awaits the heartbeat's answer: the host has handled all that was sent before it.
function Tracker:beat()
  local serial = self:next_serial()
  self.tcp:send(Tracker.frame(0x13, "\x46\x06\x04\x00\x02", serial))
  self.tcp:expect(Tracker.frame(0x13, "", serial))
  return self
end

--- Takes a command (0x80). @return its text and the server flag
function Tracker:command()
  local head = self.tcp:read(4)
  assert(head:sub(1, 2) == "\x78\x78" and head:byte(4) == 0x80, Tcp.hex(head))
  local rest = self.tcp:read(head:byte(3) + 1)
  local length = rest:byte(1)
  return rest:sub(6, length + 1), rest:sub(2, 5)
end

--- Answers a command with `text` (0x15).
function Tracker:answer(flag, text)
  local content = string.char(4 + #text) .. flag .. text .. "\x00\x02"
  self.tcp:send(Tracker.frame(0x15, content, self:next_serial()))
  return self
end

function Tracker:close() self.tcp:close() end

return Tracker
