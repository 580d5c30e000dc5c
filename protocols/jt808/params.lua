-- SPDX-License-Identifier: Apache-2.0
-- Parameters of a terminal: id, length, value, as one list of tags with a type for each id of
-- the standard, JT/T 1078 and Su-biao. A value of another length, and an id that is not here,
-- stay hex, and go down again as they came: `0xf001 = "0102"`.
local body = require "body"
local location = require "location"
local tg = require "tidegate"

local M = {}

local DWORDS = [[
  0x0001 heartbeat_interval "s"
  0x0002 tcp_reply_timeout "s"
  0x0003 tcp_retransmissions
  0x0004 udp_reply_timeout "s"
  0x0005 udp_retransmissions
  0x0006 sms_reply_timeout "s"
  0x0007 sms_retransmissions
  0x0018 server_tcp_port
  0x0019 server_udp_port
  0x001B ic_tcp_port
  0x001C ic_udp_port
  0x0022 interval_not_logged_in "s"
  0x0027 interval_asleep "s"
  0x0028 interval_emergency "s"
  0x0029 interval_default "s"
  0x002C distance_default "m"
  0x002D distance_not_logged_in "m"
  0x002E distance_asleep "m"
  0x002F distance_emergency "m"
  0x0030 corner_angle "deg"
  0x0046 max_call_time "s"
  0x0047 max_call_time_month "s"
  0x0055 max_speed "km/h"
  0x0056 overspeed_duration "s"
  0x0057 continuous_driving_limit "s"
  0x0058 day_driving_limit "s"
  0x0059 min_rest "s"
  0x005A max_parking "s"
  0x0070 media_quality
  0x0071 brightness
  0x0072 contrast
  0x0073 saturation
  0x0074 chroma
  0x0093 gnss_sampling "s"
  0x0095 gnss_upload_amount
  0x0100 can1_sampling "ms"
  0x0102 can2_sampling "ms"
]]

local STRINGS = [[
  0x0010 main_apn
  0x0011 main_apn_user
  0x0012 main_apn_password
  0x0013 main_server
  0x0014 backup_apn
  0x0015 backup_apn_user
  0x0016 backup_apn_password
  0x0017 backup_server
  0x001A ic_main_server
  0x001D ic_backup_server
  0x0023 slave_apn
  0x0024 slave_apn_user
  0x0025 slave_apn_password
  0x0026 slave_backup_server
  0x0040 platform_phone
  0x0041 reset_phone
  0x0042 factory_reset_phone
  0x0043 platform_sms
  0x0044 alarm_sms
  0x0048 monitor_phone
  0x0049 privileged_sms
  0x0083 plate
]]

-- Words of alarm bits: parameters that choose alarms have the bits of the position's word.
local ALARMS = "u32be set{" .. location.alarms["2019"] .. "}!raw"

local VIDEO = [[
  live_mode:u8{0=cbr 1=vbr 2=abr 100=custom}!raw live_resolution:u8 live_key_interval:u16be
  live_fps:u8 live_kbps:u32be
  storage_mode:u8{0=cbr 1=vbr 2=abr 100=custom}!raw storage_resolution:u8
  storage_key_interval:u16be storage_fps:u8 storage_kbps:u32be osd:u16be set{
    0=time 1=plate 2=channel 3=position 4=recorder_speed 5=gnss_speed 6=driving_time
  }!raw
]]

local SHOTS = [[
  u32be(channel_1:flag channel_2:flag channel_3:flag channel_4:flag channel_5:flag _:3
        store_1:flag store_2:flag store_3:flag store_4:flag store_5:flag _:3 coarse:flag
        interval:15)!raw
]]

local CHANNEL = "physical:u8 logical:u8 type:u8{0=av 1=audio 2=video}!raw ptz:u8"

local OTHERS = [[
  0x0020 report_strategy:u32be{0=time 1=distance 2=both}!raw
  0x0021 report_scheme:u32be{0=acc 1=login_then_acc}!raw
  0x0031 fence_radius:u16be "m"
  0x0032 forbidden_period:hex[4]
  0x0045 answering_policy:u32be{0=automatic 1=automatic_with_acc}!raw
  0x0050 alarm_mask:]] .. ALARMS .. [[

  0x0051 alarm_sms_switch:]] .. ALARMS .. [[

  0x0052 alarm_shoot_switch:]] .. ALARMS .. [[

  0x0053 alarm_store_flag:]] .. ALARMS .. [[

  0x0054 key_alarm_flag:]] .. ALARMS .. [[

  0x005B overspeed_prewarning_kmh:u16be*0.1 "km/h"
  0x005C fatigue_prewarning:u16be "s"
  0x005D collision:u16be(time:8 acceleration_g:8*0.1 "g")!raw
  0x005E rollover_angle:u16be "deg"
  0x0064 timed_shots:]] .. SHOTS .. [[

  0x0065 distance_shots:]] .. SHOTS .. [[

  0x0075 video_parameters:{ ]] .. VIDEO .. [[ audio:u8 }
  0x0076 channel_table:{
    _av_channels:u8 _audio_channels:u8 _video_channels:u8
    av_channels:[_av_channels]{ ]] .. CHANNEL .. [[ }
    audio_channels:[_audio_channels]{ ]] .. CHANNEL .. [[ }
    video_channels:[_video_channels]{ ]] .. CHANNEL .. [[ }
  }
  0x0077 channel_video_parameters:[u8]{ channel:u8 ]] .. VIDEO .. [[ }
  0x0079 special_alarm_recording:{ storage_pct:u8 "%" minutes:u8 "min" minutes_before:u8 "min" }
  0x007A video_alarm_mask:u32be set{
    0=signal_lost 1=signal_covered 2=storage_fault 3=other_device_fault 4=bus_overload
    5=abnormal_driving 6=special_storage_full
  }!raw
  0x007B analysis_alarm:{ passengers:u8 fatigue:u8 }
  0x007C sleep_wake:{
    modes:u8 set{0=condition 1=timed 2=manual}!raw
    conditions:u8 set{0=emergency 1=collision 2=door}!raw
    weekdays:u8 set{0=mon 1=tue 2=wed 3=thu 4=fri 5=sat 6=sun}!raw
    periods_on:u8 set{0=first 1=second 2=third 3=fourth}!raw
    periods:[4]{ wake:bcd[2] close:bcd[2] }
  }
  0x0080 odometer_km:u32be*0.1 "km"
  0x0081 province:u16be
  0x0082 city:u16be
  0x0084 plate_color:u8{0=none 1=blue 2=yellow 3=black 4=white 5=green 9=other}!raw
  0x0090 gnss_modes:u8 set{0=gps 1=beidou 2=glonass 3=galileo}!raw
  0x0091 gnss_baud:u8{0="4800" 1="9600" 2="19200" 3="38400" 4="57600" 5="115200"}!raw
  0x0092 gnss_output:u8{0="500 ms" 1="1000 ms" 2="2000 ms" 3="3000 ms" 4="4000 ms"}!raw
  0x0094 gnss_upload:u8{0=store 1=by_time 2=by_distance 11=by_total_time 12=by_total_distance
                        13=by_count}!raw
  0x0101 can1_upload:u16be "s"
  0x0103 can2_upload:u16be "s"
  0xF364 adas:hex[*]
  0xF365 dsm:hex[*]
  0xF366 tpms:hex[*]
  0xF367 bsd:{ rear_threshold:u8 side_threshold:u8 }
  0xF370 protocol_version:u8
]]

--- Adds the type to each `id name "unit"` line.
local function typed(list, type)
  return (list:gsub("(0x%x+ [%w_]+)", "%1:" .. type))
end

local CAN_ID = "_:u32be(can_id:29 computed:1 extended:1 channel:1)"

local function can_ids()
  local out = {}
  for id = 0x0110, 0x01FF do
    out[#out + 1] = ("0x%04X can_id_%04x:{ interval_ms:u32be \"ms\" %s }"):format(id, id, CAN_ID)
  end
  return table.concat(out, "\n")
end

M.items = typed(DWORDS, "u32be") .. typed(STRINGS, "gbk[*]") .. OTHERS

local LIST = "parameters?:tlv(u32be u8){ " .. M.items .. can_ids() .. " } "

M.set = body.same("count:u8 " .. LIST)
M.answer = body.same("reply_serial:u16be count:u8 " .. LIST)
M.query = body.same "count:u8 parameter_ids:[*]u32be"

--- Ids by name, for a query that names them.
M.ids = {}
for id, name in ("\n" .. M.items .. can_ids()):gmatch "\n%s*(0x%x%x%x%x) ([%w_]+):" do
  M.ids[name] = tonumber(id)
end

local is_text = {}
for name in STRINGS:gmatch "0x%x+ ([%w_]+)" do is_text[name] = true end

local function two(n) return ("%02d"):format(n) end

local function period(a, b, c, d)
  if a < 24 and b < 60 and c < 24 and d < 60 then
    return two(a) .. ":" .. two(b) .. "-" .. two(c) .. ":" .. two(d)
  end
end

--- Hours and minutes are plain binary in the text; some write BCD, which shows where a binary
--- reading is no time.
function M.read_period(hex)
  local n, decimal = {}, not hex:find "%a"
  for pair in hex:gmatch "%x%x" do n[#n + 1] = tonumber(pair, 16) end
  if #n ~= 4 then return nil end
  local text = period(n[1], n[2], n[3], n[4])
  if text or not decimal then return text end
  for k = 1, 4 do n[k] = n[k] // 16 * 10 + n[k] % 16 end
  return period(n[1], n[2], n[3], n[4])
end

local function write_period(text)
  local a, b, c, d = text:match "^(%d%d?):(%d%d)%-(%d%d?):(%d%d)$"
  if not a then return text end
  return ("%02x%02x%02x%02x"):format(a // 1, b // 1, c // 1, d // 1)
end

--- Ids that are not in the table, with four digits.
local function short_keys(list)
  local found = {}
  for key in pairs(list or {}) do
    if type(key) == "string" and key:find "^0x0000%x%x%x%x" then found[#found + 1] = key end
  end
  local out = {}
  for _, key in ipairs(found) do
    out["0x" .. key:sub(7)], list[key] = list[key], nil
  end
  return out
end

--- The period as text, with its bytes beside it.
function M.read(data)
  local list = data.parameters
  if list and list.forbidden_period then
    list.forbidden_period_hex = list.forbidden_period
    list.forbidden_period = M.read_period(list.forbidden_period)
  end
  for key, value in pairs(short_keys(list)) do list[key] = value end
  return data
end

--- A parameter by its name or number, one that came again, and what decode puts beside them.
local function known(name)
  if type(name) ~= "string" then return false end
  if name == "tail" or name == "forbidden_period_hex" then return true end
  local plain = name:gsub("_%d%d?$", ""):gsub("_raw$", "")
  return M.ids[name] ~= nil or M.ids[plain] ~= nil or name:find "^0x%x+" ~= nil
end

--- The count follows from the list; names of raw forms, as a decode gives them, are accepted.
function M.write(data, _, terminated)
  local list, n = {}, 0
  for name, value in pairs(data.parameters or {}) do
    if not known(name) then return nil, "no such parameter: " .. tostring(name) end
    local raw = type(name) == "string" and name:match "^(.*)_raw$"
    if raw and M.ids[raw] then
      if type(value) == "string" then list[("0x%04x"):format(M.ids[raw])] = value end
    elseif name ~= "forbidden_period_hex" and name ~= "tail" then
      if terminated and is_text[name] and type(value) == "string" then value = value .. "\0" end
      list[name] = value
    end
  end
  local hex = data.parameters and data.parameters.forbidden_period_hex
  if type(list.forbidden_period) == "string" then
    list.forbidden_period = write_period(list.forbidden_period)
  end
  list.forbidden_period = hex or list.forbidden_period
  for _ in pairs(list) do n = n + 1 end
  return {
    count = data.count or n, parameters = list, reply_serial = data.reply_serial, tail = data.tail,
  }
end

--- One value as it is on the wire, in hex.
function M.bytes_of(name, value)
  local bytes = M.set["2013"]:encode { count = 1, parameters = { [name] = value } }
  return bytes and tg.hex.encode(bytes:sub(7))
end

--- Names or numbers of parameters as ids.
function M.write_query(data)
  local ids = {}
  for i, id in ipairs(data.parameter_ids or {}) do
    ids[i] = M.ids[id] or tonumber(id)
    if not ids[i] then return nil, "no such parameter: " .. tostring(id) end
  end
  return { count = #ids, parameter_ids = ids }
end

function M.read_query(data)
  for i, id in ipairs(data.parameter_ids or {}) do
    data.parameter_ids[i] = ("0x%04X"):format(id)
  end
  return data
end

return M
