-- SPDX-License-Identifier: Apache-2.0
-- Texts, events, questions, menus and the phone book. The 2019 text drops most of them, but
-- terminals with headers of 2019 go on with them.
local body = require "body"

local M = {}

M.text = body.split("flag:u8 text:gbk[*]",
  "flag:u8 text_type:u8{1=notice 2=service}!raw text:gbk[*]")
M.events = body.same "type:u8 events?:[u8]{ event_id:u8 text:gbk[u8] }"
M.event = body.same "event_id:u8"
M.question = body.same [[
  flag:u8 question:gbk[u8] answers:[*]{ answer_id:u8 text:gbk[u16be] }
]]
M.answered = body.same "reply_serial:u16be answer_id:u8"
M.menu = body.same "type:u8 items?:[u8]{ info_type:u8 name:gbk[u16be] }"
M.subscription = body.same "info_type:u8 flag:u8"
M.information = body.same "info_type:u8 text:gbk[u16be]"
M.call = body.same "flag:u8 phone_number:gbk[*]"
M.phonebook = body.same [[
  type:u8
  contacts?:[u8]{ flag:u8 phone_number:gbk[u8] name:gbk[u8] }
]]

return M
