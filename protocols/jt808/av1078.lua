-- SPDX-License-Identifier: Apache-2.0
-- The signalling of JT/T 1078: what starts, steers and ends streams. The streams themselves go
-- to a media server over connections of their own.
local body = require "body"

local M = {}

M.attributes = body.same [[
  audio_codec:u8 audio_channels:u8
  sample_rate:u8{0="8k" 1="22.05k" 2="44.1k" 3="48k"}!raw
  sample_bits:u8{0="8" 1="16" 2="32"}!raw frame_length:u16be
  audio_output:u8 video_codec:u8 max_audio_channels:u8 max_video_channels:u8
]]
M.passengers = body.same [[
  start_time:bcdtime@+08:00 end_time:bcdtime@+08:00 on:u16be off:u16be
]]
local SERVER = "ip:gbk[u8] tcp_port:u16be udp_port:u16be "
local SPAN = "start_time:bcdtime@+08:00 end_time:bcdtime@+08:00 "

-- What is looked for, or was found.
local WHICH = "media:u8{0=av 1=audio 2=video 3=video_or_av}!raw "
local STORED = "stream:u8{0=all 1=main 2=sub}!raw storage:u8{0=all 1=main 2=disaster}!raw "

M.live = body.same(SERVER .. [[
  channel:u8 data_type:u8{0=av 1=video 2=talk 3=listen 4=broadcast 5=pass_through}!raw
  stream:u8{0=main 1=sub}!raw
]])
M.live_control = body.same [[
  channel:u8 command:u8{0=close 1=switch_stream 2=pause 3=resume 4=close_talk}!raw
  close:u8{0=all 1=audio 2=video}!raw stream:u8{0=main 1=sub}!raw
]]
M.live_status = body.same 'channel:u8 loss:u8 "%"'
M.query = body.same("channel:u8 " .. SPAN .. "alarm_flags:u64be " .. WHICH .. STORED)
M.list = body.same("reply_serial:u16be count:u32be items:[*]{ channel:u8 " .. SPAN
  .. "alarm_flags:u64be " .. WHICH .. STORED .. "size:u32be }")
M.playback = body.same(SERVER .. [[
  channel:u8 ]] .. WHICH .. STORED .. [[
  mode:u8{0=normal 1=fast 2=key_frame_rewind 3=key_frames 4=single_frame}!raw
  speed:u8{0=none 1="1x" 2="2x" 3="4x" 4="8x" 5="16x"}!raw
]] .. SPAN)
M.playback_control = body.same [[
  channel:u8 control:u8{0=start 1=pause 2=stop 3=fast 4=rewind 5=seek 6=key_frames}!raw
  speed:u8{0=none 1="1x" 2="2x" 3="4x" 4="8x" 5="16x"}!raw position:bcdtime@+08:00
]]
M.upload = body.same([[
  ip:gbk[u8] port:u16be user:gbk[u8] password:gbk[u8] path:gbk[u8] channel:u8
]] .. SPAN .. "alarm_flags:u64be " .. WHICH .. STORED
  .. "condition:u8 set{0=wifi 1=lan 2=mobile}!raw")
M.uploaded = body.same "reply_serial:u16be result:u8{0=ok 1=failed}!raw"
M.upload_control = body.same "reply_serial:u16be control:u8{0=pause 1=resume 2=cancel}!raw"
M.rotate = body.same "channel:u8 direction:u8{0=stop 1=up 2=down 3=left 4=right}!raw speed:u8"
M.lens = body.same "channel:u8 parameter:u8{0=up 1=down}!raw" -- focus, iris, zoom
M.switch = body.same "channel:u8 parameter:u8{0=stop 1=start}!raw" -- wiper, infrared light

return M
