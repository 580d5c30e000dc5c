-- SPDX-License-Identifier: Apache-2.0
-- Active safety alarms as extra items 0x64 to 0x67. Five provinces wrote five texts: they differ
-- in the length of the alarm identification at the end, which alone tells them apart. The layouts
-- take the 16 bytes of Jiangsu and Hunan; an item of another length is read again, with the
-- dialect that fits it, by M.reread. Other vendors use the same ids for small values of their
-- own: those stay hex.
local tg = require "tidegate"

local M = {}

-- Length of the terminal's id, and of what is reserved at the end.
local DIALECTS = {
  { name = "jiangsu", size = 16, id = 7, reserved = 1 },
  { name = "guangdong", size = 40, id = 30, reserved = 2 },
  { name = "sichuan", size = 39, id = 30, reserved = 1 },
  { name = "heilongjiang", size = 38, id = 30, reserved = 0 },
}
M.dialects = DIALECTS

local HEAD = "alarm_id:u32be state:u8{0=none 1=start 2=end}!raw "
local POSITION = [[
  speed_kmh:u8 "km/h" altitude_m:i16be "m"
  latitude:u32be/1000000 in 0..90000000 "deg"
  longitude:u32be/1000000 in 0..180000000 "deg"
  time:bcdtime@+08:00
  vehicle_status:u16be set{
    0=acc 1=left_turn 2=right_turn 3=wiper 4=brake 5=card_inserted 10=positioned
  }!raw
]]

function M.identification(d)
  local text = "identification:{ terminal_id:gbk[%d] time:bcdtime@+08:00 sequence:u8 "
    .. "attachments:u8 %s} "
  return text:format(d.id, d.reserved > 0 and ("reserved:hex[%d] "):format(d.reserved) or "")
end

local ADAS = [[
  type:u8{1=forward_collision 2=lane_departure 3=too_close 4=pedestrian 5=frequent_lane_change
          6=road_sign_exceeded 7=obstacle 16=sign_recognised 17=active_capture
          18=solid_line_change 19=aisle_pedestrian}!raw
  level:u8 front_speed_kmh:u8 "km/h" front_distance:u8 "100 ms"
  deviation:u8{0=none 1=left 2=right}!raw
  sign_type:u8{0=none 1=speed 2=height 3=weight}!raw sign_value:u8
]]
local DSM = [[
  type:u8{1=fatigue 2=phone 3=smoking 4=distraction 5=driver_abnormal 6=lens_covered
          8=overtime 10=belt 11=infrared 12=hands_off 13=playing_with_phone 16=auto_capture
          17=driver_change}!raw
  level:u8 fatigue:u8 reserved:hex[4]
]]
local TYRE = [[ position:u8 type:u16be set{
    0=timed 1=high_pressure 2=low_pressure 3=hot 4=sensor 5=unbalanced 6=slow_leak 7=low_battery
  }!raw
  pressure_kpa:u16be "kPa" temperature_c:u16be "C"
  battery_pct:u16be "%" ]]
local BSD = "type:u8{1=rear 2=left_rear 3=right_rear}!raw "

local function texts(d)
  local position = POSITION .. M.identification(d)
  return {
    adas_alarm = HEAD .. ADAS .. position,
    dsm_alarm = HEAD .. DSM .. position,
    tpms_alarm = HEAD .. position .. "tyres:[u8]{ " .. TYRE .. " }",
    bsd_alarm = HEAD .. BSD .. position,
  }
end

local first = texts(DIALECTS[1])
local ITEMS = "0x64 adas_alarm:{ %s } 0x65 dsm_alarm:{ %s } 0x66 tpms_alarm:{ %s } "
  .. "0x67 bsd_alarm:{ %s }\n"
M.items = ITEMS:format(first.adas_alarm, first.dsm_alarm, first.tpms_alarm, first.bsd_alarm)

local WITHOUT = { adas_alarm = 31, dsm_alarm = 31, tpms_alarm = 25, bsd_alarm = 25 }

--- What an item is in the dialects behind the first, by dialect and name. Guangdong's tyres
--- have a position of one byte or of two.
local others = {}
for k = 2, #DIALECTS do
  local d, layouts = DIALECTS[k], {}
  for name, text in pairs(texts(d)) do layouts[name] = tg.struct(text) end
  others[d.name] = layouts
  if d.name == "guangdong" then
    local wide = texts(d).tpms_alarm:gsub("position:u8 type", "position:u16be type")
    others.guangdong_wide = { tpms_alarm = tg.struct(wide) }
  end
end

M.layouts = others

--- The dialect in which these are exactly the bytes of an item.
local function dialect_of(name, bytes)
  local least = WITHOUT[name]
  for k = 2, #DIALECTS do
    local d = DIALECTS[k]
    local rest = #bytes - least - d.size
    if name ~= "tpms_alarm" then
      if rest == 0 then return d.name end
    else
      local count = bytes:byte(least + d.size)
      if count and rest == 9 * count then return d.name end
      if d.size == 40 and rest == 10 * (count or -1) then return "guangdong_wide" end
    end
  end
end

local NAMES = { "adas_alarm", "dsm_alarm", "tpms_alarm", "bsd_alarm" }

local function mirror(item, key, hemisphere)
  if hemisphere and item[key] then item[key] = -item[key] end
end

--- Items that do not fit the first dialect and do fit another; and the hemisphere, which only
--- the status word of the whole position has.
function M.reread(items, south, west)
  for _, name in ipairs(NAMES) do
    local hex = items[name .. "_raw"]
    local bytes = hex and tg.hex.decode(hex)
    local dialect = bytes and dialect_of(name, bytes)
    local value = dialect and others[dialect][name]:decode(bytes)
    if value then
      value.dialect = dialect
      items[name], items[name .. "_raw"] = value, nil
    end
    if items[name] then
      mirror(items[name], "latitude", south)
      mirror(items[name], "longitude", west)
    end
  end
end

--- M.reread turned round: items in other dialects become the bytes that they are.
function M.unread(items, south, west)
  for _, name in ipairs(NAMES) do
    local item = items[name]
    if type(item) == "table" then
      mirror(item, "latitude", south)
      mirror(item, "longitude", west)
      local layouts = others[item.dialect]
      local bytes = layouts and layouts[name] and layouts[name]:encode(item)
      if bytes then items[name], items[name .. "_raw"] = nil, tg.hex.encode(bytes) end
    end
  end
end

return M
