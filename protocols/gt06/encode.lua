-- SPDX-License-Identifier: Apache-2.0
-- Frames down to the device: answers, the time, commands, addresses.
local tg = require "tidegate"

local M = {}

local pack = string.pack
local crc = tg.check.crc16_x25

local MAX_SHORT, MAX_LONG = 250, 65000

--- A whole frame around `body`, which begins with the type.
---@return string? frame
---@return string? why
function M.frame(long, body, serial)
  if #body > (long and MAX_LONG or MAX_SHORT) then return nil, "too long for one frame" end
  local summed = pack(long and ">I2" or ">B", #body + 4) .. body .. pack(">I2", serial)
  return (long and "yy" or "xx") .. summed .. pack(">I2", crc(summed)) .. "\r\n"
end

--- The plain answer, which is what most devices get most of the time.
function M.answer(proto, serial, long)
  local summed = long and pack(">I2BI2", 5, proto, serial) or pack(">BBI2", 5, proto, serial)
  return (long and "yy" or "xx") .. summed .. pack(">I2", crc(summed)) .. "\r\n"
end

local LANGUAGES = { zh = 1, en = 2 }

local build = {}

function build.answer(m) return M.answer(m.proto, m.serial, m.long) end

--- Bike locks expect the server's time in the login's answer.
function build.login_long(m)
  return M.frame(false, "\x01" .. tg.time.to_bytes(m.time) .. "\0", m.serial)
end

function build.time(m) return M.frame(false, "\x8A" .. tg.time.to_bytes(m.time), m.serial) end

--- Both forms, with and without a language word, are valid; some models ignore one of them.
function build.command(m, ctx)
  local language = m.language or ctx.config.command_language
  if #m.text > MAX_SHORT - 10 then return nil, "the command is too long for one frame" end
  local body = "\x80" .. pack(">BI4", #m.text + 4, m.flag) .. m.text
  if LANGUAGES[language] then body = body .. pack(">I2", LANGUAGES[language]) end
  return M.frame(false, body, m.serial or 0)
end

--- Chinese fits a one-byte length; all else goes with the long start.
function build.address(m)
  local text = tg.charset.encode("utf16be", m.text)
  local phone = m.phone .. ("\0"):rep(21 - #m.phone)
  local inner = pack(">I4", m.flag or 1) .. (m.keyword or "ADDRESS") .. "&&" .. text .. "&&"
    .. phone .. "##"
  if m.chinese then
    if #inner > MAX_SHORT - 2 then return nil, "the address is too long" end
    return M.frame(false, "\x17" .. pack(">s1", inner), m.serial)
  end
  return M.frame(true, "\x97" .. pack(">s2", inner), m.serial)
end

function M.encode(m, ctx)
  local how = build[m.type]
  if not how then return nil, "no frame for a message of type " .. tostring(m.type) end
  return how(m, ctx)
end

return M
