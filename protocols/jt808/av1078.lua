-- SPDX-License-Identifier: Apache-2.0
-- The signalling of JT/T 1078: what starts, steers and ends streams. The streams themselves go
-- to a media server over connections of their own.
local body = require "body"

local M = {}

M.attributes = body.same [[
  audio_codec:u8 audio_channels:u8 sample_rate:u8 sample_bits:u8 frame_length:u16be
  audio_output:u8 video_codec:u8 max_audio_channels:u8 max_video_channels:u8
]]
M.passengers = body.same [[
  start_time:bcdtime@+08:00 end_time:bcdtime@+08:00 on:u16be off:u16be
]]
local SERVER = "ip:gbk[u8] tcp_port:u16be udp_port:u16be "
local SPAN = "start_time:bcdtime@+08:00 end_time:bcdtime@+08:00 "

M.live = body.same(SERVER .. "channel:u8 data_type:u8 stream:u8")
M.live_control = body.same "channel:u8 command:u8 close:u8 stream:u8"
M.live_status = body.same 'channel:u8 loss:u8 "%"'
M.query = body.same("channel:u8 " .. SPAN .. "alarm_flags:u64be media:u8 stream:u8 storage:u8")
M.list = body.same("reply_serial:u16be count:u32be items:[*]{ channel:u8 " .. SPAN .. [[
  alarm_flags:u64be media:u8 stream:u8 storage:u8 size:u32be }
]])
M.playback = body.same(SERVER .. [[
  channel:u8 media:u8 stream:u8 storage:u8 mode:u8 speed:u8
]] .. SPAN)
M.playback_control = body.same "channel:u8 control:u8 speed:u8 position:bcdtime@+08:00"
M.upload = body.same([[
  ip:gbk[u8] port:u16be user:gbk[u8] password:gbk[u8] path:gbk[u8] channel:u8
]] .. SPAN .. "alarm_flags:u64be media:u8 stream:u8 storage:u8 condition:u8")
M.uploaded = body.same "reply_serial:u16be result:u8"
M.upload_control = body.same "reply_serial:u16be control:u8"
M.rotate = body.same "channel:u8 direction:u8 speed:u8"
M.lens = body.same "channel:u8 parameter:u8"

return M
