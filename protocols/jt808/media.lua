-- SPDX-License-Identifier: Apache-2.0
-- Pictures, sound and film: events, data, search and what asks for them; pass-through and
-- compressed uploads.
local body = require "body"
local location = require "location"

local M = {}

local HEAD = [[
  media_id:u32be type:u8{0=image 1=audio 2=video}!raw
  format:u8{0=jpeg 1=tif 2=mp3 3=wav 4=wmv}!raw
  event:u8{0=platform 1=timed 2=robbery 3=collision 4=door_open 5=door_close 6=door_closed_moving
           7=distance}!raw
  channel:u8
]]

M.event = body.same(HEAD)
M.data = location.around(HEAD .. "location:{", "} data:hex[*]")
M.data_2011 = body.layout(HEAD .. "data:hex[*]")
M.answer = body.same "media_id:u32be packet_numbers?:[u8]u16be"

M.shoot = body.same [[
  channel:u8 command:u16be interval:u16be "s" save:u8 resolution:u8 quality:u8 brightness:u8
  contrast:u8 saturation:u8 chroma:u8
]]
M.shot = body.same [[
  reply_serial:u16be result:u8{0=ok 1=failed 2=unsupported}!raw media_ids?:[u16be]u32be
]]
local WINDOW = [[
  type:u8 channel:u8 event:u8 start_time:bcdtime@+08:00 end_time:bcdtime@+08:00
]]
M.search = body.same(WINDOW)
local FOUND = "type:u8 channel:u8 event:u8 location:{ %s } "
local function found(edition, id)
  return body.layout("reply_serial:u16be count:u16be items:[*]{ " .. id
    .. FOUND:format(location.base(edition)) .. " }")
end
M.found = {
  ["2011"] = found("2011", "media_id:u32be "), ["2013"] = found("2013", "media_id:u32be "),
  ["2019"] = found("2019", "media_id:u32be "), short = found("2011", ""),
}
M.upload = body.same(WINDOW .. "delete:u8")
M.record = body.same 'command:u8 duration:u16be "s" save:u8 sample_rate:u8'
M.upload_one = body.same "media_id:u32be delete:u8"
M.transparent = body.same "type:u8 data:hex[*]"
M.compressed = body.same "length:u32be data:hex[*]"

--- 2011 has no position: a picture begins where it would be.
function M.data_edition(header, size, frame, at)
  if size < 36 then return "short" end
  local early = frame:sub(at + 8, at + 9) == "\xFF\xD8"
  if early and frame:sub(at + 36, at + 37) ~= "\xFF\xD8" then return "short" end
  return header
end
M.data.short = M.data_2011

--- One implementation of 2011 leaves the ids out: 31 bytes an item.
function M.found_edition(header, size)
  local bytes = size - 4
  if bytes % 35 ~= 0 and bytes % 31 == 0 then return "short" end
  return header
end

M.extension = { [0] = "jpg", [1] = "tif", [2] = "mp3", [3] = "wav", [4] = "wmv" }

return M
