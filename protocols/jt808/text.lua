-- SPDX-License-Identifier: Apache-2.0
-- Texts, events, questions, menus and the phone book. The 2019 text drops most of them, but
-- terminals with headers of 2019 go on with them.
local body = require "body"

local M = {}

local CHANGE = "0=delete_all 1=replace 2=append 3=modify"

-- Service and urgent together are a notice in 2019.
M.text = body.split([[
  flag:u8 set{0=urgent 2=display 3=speak 4=advertise 5=can_fault_code}!raw text:gbk[*]
]], [[
  flag:u8 set{0=service 1=urgent 2=display 3=speak 5=can_fault_code}!raw
  text_type:u8{1=notice 2=service}!raw text:gbk[*]
]])
M.events = body.same("type:u8{" .. CHANGE .. [[ 4=delete}!raw
  events?:[u8]{ event_id:u8 text:gbk[u8] }
]])
M.event = body.same "event_id:u8"
M.question = body.same [[
  flag:u8 set{0=urgent 3=speak 4=advertise}!raw question:gbk[u8]
  answers:[*]{ answer_id:u8 text:gbk[u16be] }
]]
M.answered = body.same "reply_serial:u16be answer_id:u8"
M.menu = body.same("type:u8{" .. CHANGE .. [[}!raw
  items?:[u8]{ info_type:u8 name:gbk[u16be] }
]])
M.subscription = body.same "info_type:u8 flag:u8{0=cancel 1=order}!raw"
M.information = body.same "info_type:u8 text:gbk[u16be]"
M.call = body.same "flag:u8{0=call 1=monitor}!raw phone_number:gbk[*]"
M.phonebook = body.same("type:u8{" .. CHANGE .. [[}!raw
  contacts?:[u8]{ flag:u8{1=in 2=out 3=both}!raw phone_number:gbk[u8] name:gbk[u8] }
]])

return M
