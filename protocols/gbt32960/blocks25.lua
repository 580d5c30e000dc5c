-- SPDX-License-Identifier: Apache-2.0
-- Blocks of reports of the 2025 edition. Types 06, 07 and 08 are others than in 2016.
local old = require "blocks16"

local M = {}

M[0x01] = { "vehicle", old.STATE .. [[
  speed_kmh:W*0.1 in 0..5000 "km/h"
  mileage_km:D*0.1 in 0..9999999 "km"
  voltage_v:W*0.1 in 0..60000 "V"
  current_a:W*0.1-3000 in 0..60000 "A"
  soc_pct:B in 0..100 "%"
  dcdc:B{1=working 2=open}
  S _:u8(gear:4]] .. old.GEARS:gsub("\n", "") .. [[ brake_force:flag drive_force:flag _:1 ]]
  .. [[gear_invalid:flag)
  R gear:u8
  insulation_kohm:W in 0..60000 "kohm"
]] }

M[0x02] = { "motors", [[
  count:B
  items:[count]{
    number:B in 1..253
    state:B{1=consuming 2=generating 3=off 4=ready}
    controller_temperature_c:B-40 in 0..250 "C"
    speed_rpm:W-32000 in 0..65531 "rpm"
    torque_nm:D*0.1-20000 in 0..400000 "Nm"
    temperature_c:B-40 in 0..250 "C"
  } if count<254
]] }

M[0x03] = { "fuel_cell", [[
  hydrogen_max_temperature_c:W-40 in 0..250 "C"
  hydrogen_max_temperature_probe:B in 1..253
  hydrogen_max_concentration_pct:W*0.0001 in 0..60000 "%"
  hydrogen_max_concentration_sensor:B
  hydrogen_max_pressure_mpa:W*0.1 in 0..1000 "MPa"
  hydrogen_max_pressure_sensor:B
  dcdc:B{1=working 2=open}
  hydrogen_remaining_pct:B in 0..100 "%"
  dcdc_temperature_c:B-40 in 0..250 "C"
]] }

M[0x04] = { "engine", [[ crankshaft_rpm:W in 0..60000 "rpm" ]] }

M[0x05] = { "position", old.FIX .. [[
  S datum:u8{1=WGS84 2=GCJ02 3=other}
  R datum:u8
]] .. old.DEGREES }

M[0x06] = { "alarm", [[
  level:B in 0..4
  S flags:u32be!raw set{]] .. old.ALARMS .. " 19=motor_overspeed 20=motor_overcurrent "
  .. "21=capacitor_hot 22=capacitor_overvoltage 23=storage_thermal_event 24=hydrogen_leak "
  .. "25=hydrogen_pressure 26=hydrogen_temperature 27=stack_hot" .. [[}
  R flags:u32be
]] .. old.FAULTS .. [[
  general_fault_count:B
  general_faults:[general_fault_count]{ bit:u8 level:u8 } if general_fault_count<254
]] }

M[0x07] = { "pack_voltages", [[
  count:B
  items:[count]{
    number:B in 1..50
    voltage_v:W*0.1 in 0..60000 "V"
    current_a:W*0.1-3000 in 0..60000 "A"
    unit_count:W
    unit_voltages_v:[unit_count]W*0.001 in 0..60000 if unit_count<65534
  } if count<254
]] }

M[0x08] = { "pack_temperatures", [[
  count:B
  items:[count]{
    number:B in 1..50
    probe_count:W
    temperatures_c:[probe_count]B-40 in 0..250 if probe_count<65534
  } if count<254
]] }

M[0x30] = { "fuel_cell_stacks", [[
  count:B
  items:[count]{
    number:B in 1..253
    voltage_v:W*0.1 in 0..20000 "V"
    current_a:W*0.1 in 0..20000 "A"
    hydrogen_inlet_kpa:W*0.1-100 in 0..5000 "kPa"
    air_inlet_kpa:W*0.1-100 in 0..5000 "kPa"
    air_inlet_temperature_c:B-40 in 0..250 "C"
    probe_count:W
    coolant_temperatures_c:[probe_count]B-40 in 0..250 if probe_count<65534
  } if count<254
]] }

M[0x31] = { "super_capacitor", [[
  number:B in 1..253
  voltage_v:W*0.1 in 0..10000 "V"
  current_a:W*0.1-3000 in 0..60000 "A"
  cell_count:W
  cell_voltages_v:[cell_count]W*0.001 in 0..60000 if cell_count<65534
  probe_count:W
  temperatures_c:[probe_count]B-40 in 0..250 if probe_count<65534
]] }

M[0x32] = { "super_capacitor_extremes", [[
  max_voltage_system:B
  max_voltage_cell:W
  max_voltage_v:W*0.001 in 0..60000 "V"
  min_voltage_system:B
  min_voltage_cell:W
  min_voltage_v:W*0.001 in 0..60000 "V"
  max_temperature_system:B
  max_temperature_probe:W
  max_temperature_c:B-40 in 0..250 "C"
  min_temperature_system:B
  min_temperature_probe:W
  min_temperature_c:B-40 in 0..250 "C"
]] }

M.SIGNATURE = [[
  algorithm:u8{1=SM2 2=RSA 3=ECC}
  r:hex[u16be]
  s:hex[u16be]
]]
M[0xFF] = { "signature", M.SIGNATURE }

return M
