-- SPDX-License-Identifier: Apache-2.0
-- Driving record, waybill, driver's identity and CAN. Recorder data is a complete packet of
-- GB/T 19056 and goes on as it is, with its frame taken apart beside it.
local body = require "body"
local gbt19056 = require "gbt19056"
local tg = require "tidegate"

local M = {}

M.collect = body.same "command:u8 data:hex[*]"
M.upload = body.same "reply_serial:u16be command:u8 data:hex[*]"
M.waybill = body.same "length:u32be data:hex[*]"

local RESULT = "0=ok 1=key_failed 2=card_locked 3=card_removed 4=checksum_error"
local CARD = [[
  status:u8{1=in 2=out}!raw time:bcdtime@+08:00
  read_result?:u8{]] .. RESULT .. [[}!raw
  name:gbk[u8] if read_result=0 certificate:gbk[20]!trim if read_result=0
  issuer:gbk[u8] if read_result=0 expiry:bcd[4] if read_result=0
]]
local OUT = "status:u8{1=in 2=out}!raw time:bcdtime@+08:00 "
M.driver = {
  ["2011"] = body.layout [[
    name:gbk[u8] id_card:gbk[20]!trim certificate:gbk[40]!trim issuer:gbk[u8]
  ]],
  ["2013"] = body.layout(CARD),
  ["2019"] = body.layout(CARD .. "id_card?:gbk[20]!trim face_match?:u8 uid?:gbk[20]"),
  out = body.layout(OUT),
  in_failed = body.layout(OUT .. "read_result:u8{" .. RESULT .. "}!raw"),
}

M.can = body.same [[
  count:u16be time:bcd[5]
  items:[*]{ _:u32be(can_id:29 computed:1 extended:1 channel:1) data:hex[8] }
]]

--- A body that ends exactly where a 2011 one does is one; its first byte is a length then.
local function fits_2011(size, frame, at)
  local n = frame:byte(at)
  local m = size > 62 + n - 1 and frame:byte(at + 61 + n)
  return m and size == 62 + n + m
end

function M.driver_edition(header, size, frame, at)
  if size < 7 then return nil end
  if fits_2011(size, frame, at) then return "2011" end
  local status, result = frame:byte(at), frame:byte(at + 7)
  if size == 7 then return "out" end
  if size == 8 and result ~= 0 then return "in_failed" end
  if status ~= 1 and status ~= 2 then return "2011" end
  return header == "2019" and "2019" or "2013"
end

function M.read_driver(data)
  local y, m, d = (data.expiry or ""):match "^(%d%d%d%d)(%d%d)(%d%d)$"
  if y and m + 0 >= 1 and m + 0 <= 12 and d + 0 >= 1 and d + 0 <= 31 then
    data.expiry_raw, data.expiry = data.expiry, y .. "-" .. m .. "-" .. d
  end
  return data
end

function M.write_driver(data)
  local out = {}
  for key, value in pairs(data) do out[key] = value end
  out.expiry = data.expiry_raw or type(data.expiry) == "string" and data.expiry:gsub("-", "") or nil
  return out
end

--- The recorder's packet, taken apart beside its bytes.
function M.read_record(data)
  data.record = gbt19056.read(tg.hex.decode(data.data or "") or "")
  return data
end

--- `values` in place of bytes, or the window of a log: the packet is made of them.
function M.write_record(data)
  if data.data ~= nil or data.reply_serial ~= nil then return data end
  local bytes, why = gbt19056.write(data.command, data.values or data.max_blocks and data)
  if not bytes then return nil, type(why) == "table" and why.message or why end
  return { command = data.command, data = tg.hex.encode(bytes), tail = data.tail }
end

return M
