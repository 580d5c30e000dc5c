-- SPDX-License-Identifier: Apache-2.0
-- Blocks of reports of the 2016 edition. A number outside its range has no value; it is
-- there as `<name>_raw`, and among the flaws.
local M = {}

M.GEARS = [[{0=N 1="1" 2="2" 3="3" 4="4" 5="5" 6="6" 7="7" 8="8" 9="9" 10="10" 11="11"
  12="12" 13=R 14=D 15=P}]]

M.STATE = [[
  state:B{1=started 2=off 3=other}
  charging:B{1=parked 2=driving 3=none 4=complete}
  mode:B{1=electric 2=hybrid 3=fuel}
]]

M.FAULTS = [[
  storage_fault_count:B
  storage_faults:[storage_fault_count]hex[4] if storage_fault_count<254
  motor_fault_count:B
  motor_faults:[motor_fault_count]hex[4] if motor_fault_count<254
  engine_fault_count:B
  engine_faults:[engine_fault_count]hex[4] if engine_fault_count<254
  other_fault_count:B
  other_faults:[other_fault_count]hex[4] if other_fault_count<254
]]

-- Magnitudes; their signs are in the status.
M.DEGREES = [[
  S longitude:D/1000000~6 in 0..180000000 minus _west=1 "deg"
  S latitude:D/1000000~6 in 0..90000000 minus _south=1 "deg"
  R longitude:u32be
  R latitude:u32be
]]
M.FIX = [[
  S _:u8(fix:1{0=valid 1=last_known} _south:flag _west:flag _:5)
  R status:u8
]]

M[0x01] = { "vehicle", M.STATE .. [[
  speed_kmh:W*0.1 in 0..2200 "km/h"
  mileage_km:D*0.1 in 0..9999999 "km"
  voltage_v:W*0.1 in 0..10000 "V"
  current_a:W*0.1-1000 in 0..20000 "A"
  soc_pct:B in 0..100 "%"
  dcdc:B{1=working 2=open}
  S _:u8(gear:4]] .. M.GEARS:gsub("\n", "") .. [[ brake_force:flag drive_force:flag _:2)
  R gear:u8
  insulation_kohm:W in 0..60000 "kohm"
  accelerator_pct:B in 0..100 "%"
  brake_pct:B in 0..100?0x65=on "%"
]] }

M[0x02] = { "motors", [[
  count:B
  items:[count]{
    number:B in 1..253
    state:B{1=consuming 2=generating 3=off 4=ready}
    controller_temperature_c:B-40 in 0..250 "C"
    speed_rpm:W-20000 in 0..65531 "rpm"
    torque_nm:W*0.1-2000 in 0..65531 "Nm"
    temperature_c:B-40 in 0..250 "C"
    voltage_v:W*0.1 in 0..60000 "V"
    current_a:W*0.1-1000 in 0..20000 "A"
  } if count<254
]] }

M[0x03] = { "fuel_cell", [[
  voltage_v:W*0.1 in 0..20000 "V"
  current_a:W*0.1 in 0..20000 "A"
  consumption_kg_100km:W*0.01 in 0..60000 "kg/100km"
  probe_count:W
  temperatures_c:[probe_count]B-40 in 0..240 if probe_count<65534
  hydrogen_max_temperature_c:W*0.1-40 in 0..2400 "C"
  hydrogen_max_temperature_probe:B in 1..252
  hydrogen_max_concentration_mg_kg:W in 0..60000 "mg/kg"
  hydrogen_max_concentration_sensor:B
  hydrogen_max_pressure_mpa:W*0.1 in 0..1000 "MPa"
  hydrogen_max_pressure_sensor:B
  dcdc:B{1=working 2=open}
]] }

M[0x04] = { "engine", [[
  state:B{1=running 2=off}
  crankshaft_rpm:W in 0..60000 "rpm"
  consumption_l_100km:W*0.01 in 0..60000 "l/100km"
]] }

M[0x05] = { "position", M.FIX .. M.DEGREES }

M[0x06] = { "extremes", [[
  max_voltage_subsystem:B in 1..250
  max_voltage_cell:B in 1..250
  max_voltage_v:W*0.001 in 0..15000 "V"
  min_voltage_subsystem:B in 1..250
  min_voltage_cell:B in 1..250
  min_voltage_v:W*0.001 in 0..15000 "V"
  max_temperature_subsystem:B in 1..250
  max_temperature_probe:B in 1..250
  max_temperature_c:B-40 in 0..250 "C"
  min_temperature_subsystem:B in 1..250
  min_temperature_probe:B in 1..250
  min_temperature_c:B-40 in 0..250 "C"
]] }

M.ALARMS = "0=temperature_difference 1=battery_hot 2=storage_overvoltage "
  .. "3=storage_undervoltage 4=soc_low 5=cell_overvoltage 6=cell_undervoltage 7=soc_high "
  .. "8=soc_jump 9=storage_mismatch 10=cell_consistency 11=insulation 12=dcdc_temperature "
  .. "13=brake_system 14=dcdc_state 15=motor_controller_temperature "
  .. "16=high_voltage_interlock 17=motor_temperature 18=storage_overcharge"

M[0x07] = { "alarm", [[
  level:B in 0..3
  S flags:u32be!raw set{]] .. M.ALARMS .. [[}
  R flags:u32be
]] .. M.FAULTS }

M[0x08] = { "storage_voltages", [[
  count:B
  items:[count]{
    number:B in 1..250
    voltage_v:W*0.1 in 0..10000 "V"
    current_a:W*0.1-1000 in 0..20000 "A"
    cells_total:W
    first_cell:W
    cell_count:B in 0..200
    cell_voltages_v:[cell_count]W*0.001 in 0..60000 if cell_count<254
  } if count<254
]] }

M[0x09] = { "storage_temperatures", [[
  count:B
  items:[count]{
    number:B in 1..250
    probe_count:W
    temperatures_c:[probe_count]B-40 in 0..250 if probe_count<65534
  } if count<254
]] }

return M
