-- SPDX-License-Identifier: Apache-2.0
-- Extra items of a position: those of the standard with JT/T 1078 and the active safety
-- dialects, and what vendors put there instead. A vendor's table replaces single items; the
-- option `vendor` chooses one for all, `vendors` for single devices.
local subiao = require "subiao_items"

local M = {}

M.standard = [[
  0x01 mileage_km:u32be*0.1 "km"
  0x02 fuel_l:u16be*0.1 "l"
  0x03 recorder_speed_kmh:u16be*0.1 "km/h"
  0x04 alarm_event_id:u16be
  0x05 tyre_pressure:[30]u8?0xFF "Pa"
  0x06 carriage_temperature_c:i16be "C"
  0x11 overspeed_alarm:{
    location_type:u8{0=none 1=circle 2=rectangle 3=polygon 4=section}!raw area_id?:u32be
  }
  0x12 area_alarm:{
    location_type:u8{1=circle 2=rectangle 3=polygon 4=route}!raw area_id:u32be
    direction:u8{0=in 1=out}!raw
  }
  0x13 section_time_alarm:{
    section_id:u32be seconds:u16be "s" result:u8{0=too_short 1=too_long}!raw
  }
  0x14 video_alarms:u32be set{
    0=signal_lost 1=signal_covered 2=storage_fault 3=other_device_fault 4=bus_overload
    5=abnormal_driving 6=special_storage_full
  }!raw
  0x15 video_lost_channels:u32be
  0x16 video_covered_channels:u32be
  0x17 storage_faults:u16be
  0x18 abnormal_driving:{
    behaviour:u16be set{0=fatigue 1=phone 2=smoking}!raw fatigue?:u8
  }
  0x25 vehicle_signals:u32be set{
    0=low_beam 1=high_beam 2=right_turn 3=left_turn 4=brake 5=reverse 6=fog 7=clearance
    8=horn 9=air_conditioning 10=neutral 11=retarder 12=abs 13=heater 14=clutch
  }!raw
  0x2A io:u16be set{0=deep_sleep 1=sleep}!raw
  0x2B analog:u32be(ad0:16 ad1:16)!raw
  0x30 signal_strength:u8
  0x31 satellites:u8
]] .. subiao.items

-- Dialects as their devices send them; what is not named here stays hex under its number.
M.vendors = {
  gps51 = [[
    0x2B voltages:[*]u16be
    0x51 temperatures:[*]u16be
    0x52 rotation:u8{1=forward 2=reverse 3=stop}
    0x54 wifi:{ points:[u8]{ mac:hex[6] rssi:u8 } }
    0x55 load_kg:u32be*0.1 "kg"
    0x58 humidity_pct:u16be*0.1 "%"
    0x61 supply_v:u16be*0.01 "V"
    0xE1 cells:hex[*]
    0xE2 firmware:gbk[*]
    0xF1 iccid:ascii[*]
    0xF6 imei:bcd[8]
    0xFA vendor_alarms:hex[*]
    0xFB battery:{ percent:u8 external_v:u16be*0.01 "V" charging:u8 }
  ]],
  fuel_percent = "0x02 fuel_pct:u16be(percent:15 _:1)",
  battery = [[
    0x06 battery_pct:u8 "%"
    0x61 supply_v:u16be*0.01 "V"
    0x68 battery_level_pct:u16be*0.01 "%"
    0x69 battery_v:u16be*0.01 "V"
  ]],
  obd = [[
    0x94 vin:ascii[*]
    0xAC odometer_m:u32be "m"
    0xBC driver_name:gbk[*]
    0xBD driver_id:ascii[*]
    0xED card:ascii[*]
  ]],
  lock = [[
    0x0B lock_event:hex[*]
    0x33 lock_text:ascii[*]
    0xD5 locks:hex[*]
    0xE8 lock_status:hex[3]
  ]],
  tpms = [[
    0x77 tyres:[*]{ index:u8 sensor:hex[3] pressure:u16be temperature_c:u8-50 "C" status:u8 }
  ]],
  list_eb = "0xEB items:tlv(u16be u16be length_first counts_tag){"
    .. [[ 0x0001 fuel:hex[*] 0x0023 fuel_text:hex[*] 0x002D power_mv:u16be "mV"
    0x0089 alarms_low:hex[*] 0x00C5 alarms_low_2:hex[*] 0x00A8 battery_pct:u8 "%"
    0x00B2 iccid:bcd[10] 0x00B9 wifi:ascii[*] 0x00CE supply_v:u16be*0.01 "V"
    0x00D8 cell:{ mcc:u16be mnc:u8 lac:u16be cell_id:u32be } } ]],
}

--- Items of a text by their tag, in order: an item ends where the next one begins outside of
--- all brackets.
local function split(text)
  local order, by_tag, depth = {}, {}, 0
  for from, token in text:gmatch "()(.)" do
    if token == "{" or token == "(" then depth = depth + 1 end
    if token == "}" or token == ")" then depth = depth - 1 end
    local tag = depth == 0 and text:match("^0x(%x+) ", from)
    if tag and (from == 1 or text:find("^%s", from - 1)) then
      local at = tonumber(tag, 16)
      if not by_tag[at] then order[#order + 1] = at end
      by_tag[at] = from
    end
  end
  return order, by_tag
end

--- The standard's items with those of a vendor in their place.
function M.dialect(name)
  local overlay = M.vendors[name]
  if not overlay then return M.standard end
  local function pieces(text)
    local order, starts = split(text)
    local out = {}
    for i, tag in ipairs(order) do
      local stop = order[i + 1] and starts[order[i + 1]] - 1 or #text
      out[tag] = text:sub(starts[tag], stop)
    end
    return out, order
  end
  local all, order = pieces(M.standard)
  local own, own_order = pieces(overlay)
  for _, tag in ipairs(own_order) do
    if not all[tag] then order[#order + 1] = tag end
    all[tag] = own[tag]
  end
  local out = {}
  for i, tag in ipairs(order) do out[i] = all[tag] end
  return table.concat(out, "\n")
end

return M
