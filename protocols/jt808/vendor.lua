-- SPDX-License-Identifier: Apache-2.0
-- Messages outside of the standard's text that many terminals send all the same, and the
-- satellites of the first amendment, whose id others use for something else.
local body = require "body"
local location = require "location"

local M = {}

M.heartbeat = body.same "data:hex[*]"
M.time = body.same "time:bcdtime@utc"
M.text = body.same "encoding:u8 text_hex:hex[*]"
M.text_answer = body.same "reply_serial:u16be text:utf16be[*]"
M.zone = body.same "data:hex[*]"

local SYSTEM = "%s:[u8]{ number:u8 elevation_deg:u8 azimuth_deg:u16be cn0:u8 \"dB-Hz\" } "
local SYSTEMS = SYSTEM:format "beidou" .. SYSTEM:format "gps" .. SYSTEM:format "glonass"
  .. SYSTEM:format "galileo"

M.satellites = location.around(SYSTEMS .. "location:{", "}")
M.satellites.other = body.layout "data:hex[*]"

--- Four lists and a position fill the body of the amendment exactly.
function M.satellites_edition(header, size, frame, at)
  local from, stop = at, at + size - 28
  for _ = 1, 4 do
    local n = from < stop and frame:byte(from)
    if not n or n > 100 then return "other" end
    from = from + 1 + 5 * n
  end
  return from == stop and header or "other"
end

return M
