-- SPDX-License-Identifier: Apache-2.0
-- Extra items of a position: those of the standard with JT/T 1078 and the active safety
-- dialects, and what vendors put there instead. A vendor's table replaces single items; the
-- option `vendor` chooses one for all, `vendors` for single devices.
local dialects = require "dialects"
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

local merged = {} -- by name

--- The standard's items with those of a vendor in their place.
function M.dialect(name)
  local overlay = dialects[name]
  if not overlay then return M.standard end
  if merged[name] then return merged[name] end
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
  merged[name] = table.concat(out, "\n")
  return merged[name]
end

return M
