-- SPDX-License-Identifier: Apache-2.0
-- Messages of the active safety texts: attachments of an alarm, and their announcements. The
-- dialect is told by the body's length, as with the extra items. Names of files are the
-- terminal's: they are data, never paths.
local body = require "body"
local items = require "subiao_items"
local tg = require "tidegate"

local M = {}

local REQUEST = "ip:gbk[u8] tcp_port:u16be udp_port:u16be %s alarm_number:gbk[32] reserved:hex[*] "
local INFO = "%s %s alarm_number:gbk[32] info_type:u8{0=normal 1=resend}!raw "
  .. "files:[u8]{ name:gbk[u8] size:u32be } "

M.request, M.info = {}, {}
for _, d in ipairs(items.dialects) do
  local id = items.identification(d)
  local own = d.name == "heilongjiang" and "" or ("terminal_id:gbk[%d] "):format(d.id)
  M.request[d.name] = body.layout(REQUEST:format(id))
  M.info[d.name] = body.layout(INFO:format(own, id))
end
for _, edition in ipairs { "2011", "2013", "2019" } do
  M.request[edition], M.info[edition] = M.request.jiangsu, M.info.jiangsu
end

--- The identification is what is left of a request without its reserve of 16 bytes.
function M.request_edition(_, size, frame, at)
  local n = frame:byte(at)
  for _, d in ipairs(items.dialects) do
    if n and size == 1 + n + 4 + d.size + 32 + 16 then return d.name end
  end
  return "jiangsu"
end

--- The list of files ends exactly at the end in the right dialect.
local function files_fit(frame, from, stop)
  local count = from < stop and frame:byte(from)
  from = from + 1
  for _ = 1, count or 0 do
    local n = from < stop and frame:byte(from)
    if not n then return false end
    from = from + 1 + n + 4
  end
  return count and from == stop
end

function M.info_edition(_, size, frame, at)
  for _, d in ipairs(items.dialects) do
    local own = d.name == "heilongjiang" and 0 or d.id
    if files_fit(frame, at + own + d.size + 33, at + size) then return d.name end
  end
  return "jiangsu"
end

--- The dialect to send in: named, or told by the form of the identification.
function M.choose(data)
  if M.request[data.dialect] then return data.dialect end
  local id = type(data.identification) == "table" and data.identification or {}
  local reserved = #(id.reserved or "") // 2
  if reserved == 2 then return "guangdong" end
  if reserved == 0 and id.terminal_id then return "heilongjiang" end
  return #(id.terminal_id or "") > 7 and "sichuan" or "jiangsu"
end

local TYPE = "type:u8{0=image 1=audio 2=video 3=text 4=other}!raw "
local FILE = "name:gbk[u8] " .. TYPE .. "size:u32be"
M.file = body.same(FILE)
M.file_done = body.same(FILE)
M.file_answer = body.same("name:gbk[u8] " .. TYPE .. [[
  result:u8{0=complete 1=resend}!raw missing:[u8]{ offset:u32be length:u32be }
]])
M.progress = body.same "reply_serial:u16be type:u8 status:u8 progress:u8 error:u8"

-- ---- peripherals in pass-through messages -------------------------------------------------------

local STATUS = tg.struct [[
  peripherals:[u8]{
    id:u8 _length:u8
    work:u8{1=normal 2=standby 3=upgrading 4=fault 16=disconnected}!raw
    alarms_raw:u32be
  }
]]
local SYSTEM = tg.struct [[
  peripherals:[u8]{
    id:u8 _length:u8 company:gbk[u8] product:gbk[u8] hardware:gbk[u8] software:gbk[u8]
    device_id:gbk[u8] customer:gbk[u8]
  }
]]

M.peripherals, M.systems = STATUS, SYSTEM

--- Types 0xF7 and 0xF8 of a pass-through message, beside its bytes.
function M.read_transparent(data)
  local layout = data.type == 0xF7 and STATUS or data.type == 0xF8 and SYSTEM
  local bytes = layout and tg.hex.decode(data.data or "")
  local value = bytes and layout:decode(bytes)
  if value then data.peripherals = value.peripherals end
  return data
end

return M
