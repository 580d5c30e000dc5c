-- SPDX-License-Identifier: Apache-2.0
-- Building blocks of GT06 frames and the layouts made of them. A layout covers the whole frame,
-- start to stop bytes, so that the annotated view has no gaps; its body is a window that ends
-- before serial and CRC, so a field that is missing is seen instead of read from them. What a
-- layout does not know of the body comes out as `tail_hex`.
local tg = require "tidegate"

local M = {}

local TIME = "time:time6!raw!utc \n"

-- Positions carry their sign in the course word behind them. `acc` of it counts only where bit
-- 14 says so; types that have a better source for it hide it.
local function gps(acc, time)
  return (time or TIME) .. [[
    _:u8(satellites:4 _:4)
    latitude:u32be/1800000~6 in 0..162000000 minus _north=0 "deg"
    longitude:u32be/1800000~6 in 0..324000000 minus _west=1 "deg"
    speed_kmh:u8 "km/h"
    _:u16be(course_deg:10 in 0..360 _north:flag _west:flag gps_fixed:flag
            gps_differential:flag _acc_known:flag ]] .. acc .. [[:flag if _acc_known=1)
  ]]
end

local GPS = gps "acc"
local GPS_PLAIN = gps "_acc"

-- Bit 15 of the MCC: the MNC takes two bytes.
local function cell(lac, id)
  return ([[
    _:u16be(mcc:15 _wide:1)
    mnc:u8 if _wide=0
    mnc:u16be if _wide=1
    lac:%s
    cell_id:%s
  ]]):format(lac, id)
end

local CELL = cell("u16be", "u24be")
local CELL_ID4 = cell("u16be", "u32be")
local CELL_4G = cell("u32be", "u64be")

local function cells(lac, id)
  return ([[
    _:u16be(mcc:15 _wide:1)
    mnc:u8 if _wide=0
    mnc:u16be if _wide=1
    cells:[7]{ lac:%s cell_id:%s rssi:u8 }
    timing_advance:u8
  ]]):format(lac, id)
end

local CELLS = cells("u16be", "u24be")
local CELLS_4G = cells("u32be", "u64be")
local WIFI = "wifi_count:u8 wifi:[wifi_count]{ mac:hex[6] rssi:u8 } \n"

local LANGUAGE = "{1=zh 2=en}?0!raw \n"
local INFO = [[
  _:u8(armed:flag acc:flag charging:flag
       terminal_alarm:3{0=normal 1=vibration 2=power_cut 3=low_battery 4=sos 5=ext_5
                        6=geofence 7=removed}
       gps_tracking:flag fuel_cut:flag)
]]
local GSM = "gsm_level:u8{0=none 1=extremely_weak 2=weak 3=good 4=strong}!raw \n"
local VOLTAGE_LEVEL = [[
  voltage_level:u8{0=shutdown 1=extremely_low 2=very_low 3=low 4=medium 5=high 6=full}!raw
]]
local ALARM = "alarm_code:u8 language:u8" .. LANGUAGE
local STATUS = INFO .. VOLTAGE_LEVEL .. GSM .. ALARM
local UPLOAD = [[
  acc?:bool
  upload_mode?:u8{0=time 1=distance 2=turn 3=acc 4=stop 5=reconnect 6=ephemeris 7=key
                  8=power_on 10=parked 13=parked_last 14=parked_periodic}!raw
  reupload?:bool
  mileage_m?:u32be "m"
]]
local COMMAND = "_len:u8 server_flag:hex[4] text:ascii[_len-4] language?:u16be" .. LANGUAGE

local function whole(head, body)
  return tg.struct(head .. "_:sized[*-6]{" .. body .. " tail_hex:rest }"
    .. " _serial:u16be _crc:hex[2] _stop:hex[2]")
end

local function short(body)
  return whole("_start:hex[2] _length:u8 _type:hex[1] ", body)
end

local function long(body)
  return whole("_start:hex[2] _length:u16be _type:hex[1] ", body)
end

M.login = short [[
  terminal_id:bcd[8]
  model_code?:u16be
  zone_word?:u16be
]]
M.gps = short(GPS .. "language?:u16be" .. LANGUAGE)
M.lbs_time = short(TIME .. CELL .. "language?:u16be" .. LANGUAGE)
M.gps_lbs_wide = short(GPS .. "mcc:u16be mnc:u16be lac:u16be cell_id:u32be")
M.lbs = short(CELL)
M.gps_lbs = short(GPS .. CELL)
M.gps_lbs_port = short(GPS .. CELL .. "port:u16be")
M.gps_lbs_upload = short(GPS_PLAIN .. CELL .. UPLOAD)
M.gps_lbs_mileage = short(GPS .. CELL .. 'mileage_m:u32be "m"')
M.gps_lbs_info = short(GPS_PLAIN .. CELL .. INFO
  .. 'external_voltage_v:u16be*0.01 "V" ' .. GSM .. "alarm_code:u8")
M.imei_gps_lbs = short("imei:bcd[8]" .. GPS .. CELL)
M.gps_lbs_4g = short(GPS_PLAIN .. CELL_4G .. UPLOAD)
M.gps_lbs_power = short(GPS_PLAIN .. CELL_ID4 .. UPLOAD
  .. 'external_voltage_v:u16be*0.01 "V" acc_on_seconds:u32be "s" radio:hex[2]')
M.gps_cells = short(GPS .. CELLS .. "language?:u8" .. LANGUAGE)
M.cells = short(TIME .. CELLS .. "language?:u16be" .. LANGUAGE)
M.cells_4g = short(TIME .. CELLS_4G .. "language?:u16be" .. LANGUAGE)
M.wifi = short(TIME .. CELLS .. WIFI)
M.wifi_4g = short(TIME .. CELLS_4G .. WIFI)

M.heartbeat = short(STATUS)
M.heartbeat_info = short(INFO)
M.heartbeat_voltage = short(INFO .. 'voltage_v:u16be*0.01 "V" ' .. GSM
  .. "language:u16be" .. LANGUAGE)
-- Dialects of the classic heartbeat, chosen by the `model` option.
M.heartbeat_r11 = short(INFO .. 'voltage_v:u16be*0.01 "V" tail:hex[2]')
M.heartbeat_seeworld = short(INFO .. VOLTAGE_LEVEL .. "gsm_level:u8!raw external_voltage_v:u8"
  .. " language:u8" .. LANGUAGE)

-- The LBS length byte lies too often to be used.
M.alarm = short(GPS_PLAIN .. "lbs_len:u8 " .. CELL .. STATUS .. 'mileage_m?:u32be "m"')
M.alarm_id4 = short(GPS_PLAIN .. "lbs_len:u8 " .. CELL_ID4 .. STATUS)
M.alarm_no_lbs = short(GPS_PLAIN .. "lbs_len:u8 " .. STATUS)
M.alarm_voltage = short(GPS_PLAIN .. CELL .. INFO
  .. 'external_voltage_v:u16be*0.01 "V" ' .. GSM .. "alarm_code:u8")
M.alarm_fence = short(GPS_PLAIN .. "lbs_len:u8 " .. CELL .. STATUS .. "fence_no:u8?0xFF")
M.alarm_4g = short(GPS_PLAIN .. "lbs_len:u8 " .. CELL_4G .. STATUS)
M.alarm_fence_4g = short(GPS_PLAIN .. "lbs_len:u8 " .. CELL_4G .. STATUS .. "fence_no:u8?0xFF")
M.alarm_lbs = short(CELL .. STATUS)
M.alarm_lbs_4g = short(CELL_4G .. STATUS)
M.bike = long(TIME .. [[
  position:sized[u8]{
    satellites:u8
    latitude:u32be/1800000~6 in 0..162000000 minus _north=0
    longitude:u32be/1800000~6 in 0..324000000 minus _west=1
    speed_kmh:u8
    _:u16be(course_deg:10 in 0..360 _north:flag _west:flag gps_fixed:flag _:3)
  }
  cell:sized[u8]{ ]] .. CELL .. [[ rssi?:u8 }
  more_cells:hex[u8]
  wifi:hex[u8]
  lock_status:u8{0xA0=locked 0xA1=unlocked 0xA2=low_battery 0xA3=low_battery 0xA4=general
                 0xA5=forced_open}!raw
  reserve:hex[u8]
]])

M.address_request = short(GPS .. "phone:ascii[21] language:u16be" .. LANGUAGE)
M.address_request_4g = short(CELL_4G .. "phone:ascii[21] " .. ALARM)
M.address_short = short "_:sized[u8]{ server_flag:hex[4] content:hex[*] }"
M.address_long = long "_:sized[u16be]{ server_flag:hex[4] content:hex[*] }"
M.command = short(COMMAND)
M.command_padded = short("_len:u8 server_flag:hex[4] text:ascii[*-2] language:u16be" .. LANGUAGE)
M.reply_long = long "server_flag:hex[4] encoding:u8{1=ascii 2=utf16be} content:hex[*]"
M.time = short(TIME)
M.voltage = short 'external_voltage_v:u16be*0.01 "V"'
M.dashcam = short(TIME)
M.information = long "info_type:u8 data_hex:hex[*]"
M.transparent = long "module_type:u8 data_hex:hex[*]"
M.modules = long [[ modules:tlv(u16be u16be){
  0x0000 transfer:hex[*]
  0x0001 imei:bcd[8]
  0x0002 imsi:bcd[8]
  0x0003 iccid:hex[10]
  0x0009 satellites:u8
  0x000A satellites_visible:u8
  0x0011 cell:{ mcc:u16be mnc:u16be lac:u16be cell_id:u24be rssi:u8 }
  0x0018 battery_v:u16be*0.01 "V"
  0x0028 hdop:u8*0.1
  0x0029 index:u32be
  0x002A inputs:u8
  0x002B boot_reason:u8
  0x002C time:unix32be
  0x002E mileage_hex:hex[4]
  0x0033 position:{
    time:unix32be
    satellites:u8
    altitude_m:i16be "m"
    latitude:u32be/1800000~6 in 0..162000000 minus _north=0
    longitude:u32be/1800000~6 in 0..324000000 minus _west=1
    speed_kmh:u8
    _:u16be(course_deg:10 in 0..360 _north:flag _west:flag gps_fixed:flag
            gps_differential:flag _:2)
  }
  0x0034 event:{ code:u8 time:unix32be data_hex:hex[u8] }
  0x0043 cell_lte:{ mcc:u16be mnc:u16be tac:u16be cell_id:u32be rssi:u8 }
} ]]
M.text = long "text:ascii[*]"
M.raw_short = short "content_hex:hex[*]"
M.raw_long = long "content_hex:hex[*]"

return M
