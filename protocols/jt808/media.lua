-- SPDX-License-Identifier: Apache-2.0
-- Pictures, sound and film: events, data, search and what asks for them; pass-through and
-- compressed uploads.
local body = require "body"
local location = require "location"
local tg = require "tidegate"

local M = {}

local KIND = "type:u8{0=image 1=audio 2=video}!raw "
local EVENT = [[event:u8{0=platform 1=timed 2=robbery 3=collision 4=door_open 5=door_close
  6=door_closed_moving 7=distance}!raw ]]
local HEAD = "media_id:u32be " .. KIND .. "format:u8{0=jpeg 1=tif 2=mp3 3=wav 4=wmv}!raw "
  .. EVENT .. "channel:u8 "

M.event = body.same(HEAD)
M.data = location.around(HEAD .. "location:{", "} data:hex[*]")
M.data_2011 = body.layout(HEAD .. "data:hex[*]")
M.answer = body.same "media_id:u32be packet_numbers?:[u8]u16be"

M.shoot = body.same [[
  channel:u8 command:u16be interval:u16be "s" save:u8{0=upload 1=store}!raw
  resolution:u8{0=lowest 1="320x240" 2="640x480" 3="800x600" 4="1024x768" 5="176x144" 6="352x288"
                7="704x288" 8="704x576" 255=highest}!raw
  quality:u8 brightness:u8
  contrast:u8 saturation:u8 chroma:u8
]]
M.shot = body.same [[
  reply_serial:u16be result:u8{0=ok 1=failed 2=unsupported}!raw media_ids?:[u16be]u32be
]]
local WINDOW = KIND .. "channel:u8 " .. EVENT .. [[
  start_time:bcdtime@+08:00 end_time:bcdtime@+08:00
]]
M.search = body.same(WINDOW)
local FOUND = KIND .. "channel:u8 " .. EVENT .. "location:{ %s } "
local function found(edition, id)
  return body.layout("reply_serial:u16be count:u16be items:[*]{ " .. id
    .. FOUND:format(location.base(edition)) .. " }")
end
M.found = {
  ["2011"] = found("2011", "media_id:u32be "), ["2013"] = found("2013", "media_id:u32be "),
  ["2019"] = found("2019", "media_id:u32be "), short = found("2011", ""),
}
M.upload = body.same(WINDOW .. "delete:u8{0=keep 1=delete}!raw")
M.record = body.same [[
  command:u8{0=stop 1=start}!raw duration:u16be "s" save:u8{0=upload 1=store}!raw
  sample_rate:u8{0="8k" 1="11k" 2="23k" 3="32k"}!raw
]]
M.upload_one = body.same "media_id:u32be delete:u8{0=keep 1=delete}!raw"
M.transparent = body.same "type:u8 data:hex[*]"
M.compressed = body.same "length:u32be data:hex[*]"

--- What was compressed, beside the bytes that came: as text where it is one. What it means is
--- in no text.
function M.read_compressed(data, config)
  local bytes = config.inflate > 0 and tg.hex.decode(data.data or "")
  if not bytes then return data end
  local content, err = tg.gzip.decode(bytes, config.inflate)
  if not content then
    data.not_inflated = err.message
  elseif tg.charset.valid(content) and not content:find "[%z\1-\8\14-\31]" then
    data.content = content
  else
    data.content_hex = tg.hex.encode(content)
  end
  return data
end

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
