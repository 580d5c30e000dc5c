-- SPDX-License-Identifier: Apache-2.0
-- The position: 28 bytes and a list of extra items, the same in a dozen messages. Alarm and
-- status words come out as lists of names with the word beside them, so nothing is lost where a
-- device uses a bit otherwise.
local tg = require "tidegate"
local extras = require "extras"

local M = {}

local ALARMS = [[
  0=emergency 1=overspeed 2=fatigue_driving 3=%s 4=gnss_fault 5=gnss_antenna_open
  6=gnss_antenna_short 7=supply_undervoltage 8=supply_off 9=display_fault 10=tts_fault
  11=camera_fault 12=ic_card_fault 13=overspeed_prewarning 14=fatigue_prewarning %s
  18=day_driving_exceeded 19=parking_overtime 20=area_crossed 21=route_crossed
  22=section_time 23=route_deviation 24=vss_fault 25=fuel_abnormal 26=stolen
  27=illegal_ignition 28=illegal_displacement 29=%s 30=rollover_prewarning
  31=illegal_door_opening
]]
local ALARMS_OLD = ALARMS:format("danger_warning", "", "collision_prewarning")
local ALARMS_NEW = ALARMS:format("dangerous_driving",
  "15=forbidden_driving 16=tyre_pressure 17=right_turn_blind_area", "collision_or_rollover")

-- Bits 8 and 9 together: 0 empty, 1 half loaded, 3 full.
local STATUS = [[
  0=acc 1=positioned 2=south 3=west 4=out_of_service 5=encrypted_coordinates
  6=forward_collision_warning 7=lane_departure_warning 8=load_half 9=load_full 10=fuel_cut
  11=circuit_cut 12=doors_locked 13=front_door_open 14=middle_door_open 15=rear_door_open
  16=driver_door_open 17=door_5_open 18=gps 19=beidou 20=glonass 21=galileo 22=moving
]]

local BASE = [[
  alarms:u32be set{%s}!raw
  status:u32be set{]] .. STATUS .. [[}!raw
  latitude:u32be/1000000 in 0..90000000 minus status&4 "deg"
  longitude:u32be/1000000 in 0..180000000 minus status&8 "deg"
  altitude_m:i16be "m"
  speed_kmh:u16be*0.1 "km/h"
  course_deg:u16be "deg"
  time:bcdtime@+08:00
]]

M.alarms = { ["2011"] = ALARMS_OLD, ["2013"] = ALARMS_OLD, ["2019"] = ALARMS_NEW }

--- The 28 bytes, as text for a layout.
function M.base(edition) return BASE:format(M.alarms[edition]) end

--- With the extra items of a dialect.
function M.full(edition, items)
  return M.base(edition) .. "extras?:tlv(u8 u8){ " .. (items or extras.standard) .. " } "
end

--- One table of texts per edition: before .. position .. behind.
function M.around(before, behind, with_extras)
  local out = {}
  for edition in pairs(M.alarms) do
    local position = with_extras and M.full(edition) or M.base(edition)
    out[edition] = tg.struct("_:sized[*-1]{ " .. before .. position .. behind .. " tail:rest }")
  end
  out["2011"] = out["2013"]
  return out
end

return M
