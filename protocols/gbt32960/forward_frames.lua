-- SPDX-License-Identifier: Apache-2.0
-- What a link to an upper platform sends, and what its spools hold: a vehicle's frame with the
-- frame of its login, which a new link has to be told first.
local tg = require "tidegate"
local encode = require "encode"

local M = {}

local now = tg.time.now
local BEIJING_MS = 8 * 3600 * 1000
local DAY_MS = 24 * 3600 * 1000

--- @param tries integer how often it was answered with an error
function M.item(login, frame, tries) return string.pack(">Bs2", tries, login) .. frame end

function M.read_item(bytes)
  local tries, login, at = string.unpack(">Bs2", bytes)
  return tries, login, bytes:sub(at)
end


--- The same report as reissued: one byte of the header, and with it the checksum.
function M.reissued(frame)
  return frame:sub(1, 2) .. "\3" .. frame:sub(4, -2) .. string.char(frame:byte(-1) ~ 2 ~ 3)
end

--- By what an answer is known.
function M.key_of(frame) return frame:sub(5, 21) .. frame:sub(3, 3) end

local function padded(text, size) return text .. ("\0"):rep(size - #text) end

--- Logins are counted from 1 each day, by Beijing's clock.
function M.next_serial(one)
  local day = (now() + BEIJING_MS) // DAY_MS
  local n = tg.kv.incr(("forward/%s/%d"):format(one.name, day), 1, { ttl = "2d", durable = true })
  return n and (n - 1) % 65531 + 1 or 1
end

function M.platform_frame(one, cmd, serial)
  local unit = encode.time(now()) .. string.pack(">I2", serial)
  if cmd == 0x05 then
    unit = unit .. padded(one.user, 12) .. padded(tg.crypto.reveal(one.password), 20) .. "\1"
  end
  return encode.frame(one.edition, cmd, 0xFE, padded(one.platform, 17), 1, unit)
end

return M
