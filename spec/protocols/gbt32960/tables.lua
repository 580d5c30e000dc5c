-- SPDX-License-Identifier: Apache-2.0
-- The standard's tables of reports, once more and in words of their own: nothing here comes from
-- the adapter, so that a slip there is found out.

-- A line is a field: name, B, W or D, then scale, offset, least and greatest number of the wire
-- ("-" for a bound that the standard has not), and what means "on"; or its words. "=" are bytes as
-- they are: counts.
-- items.x is in the first of the items, x[] is a list of one.
local M = { BLOCKS = {} }

local STATE = [[
state B 1=started 2=off 3=other
charging B 1=parked 2=driving 3=none 4=complete
mode B 1=electric 2=hybrid 3=fuel
]]

M.BLOCKS[2016] = {
  { 0x01, "vehicle", STATE .. [[
speed_kmh W 0.1 0 0 2200
mileage_km D 0.1 0 0 9999999
voltage_v W 0.1 0 0 10000
current_a W 0.1 -1000 0 20000
soc_pct B 1 0 0 100
dcdc B 1=working 2=open
= 0e
insulation_kohm W 1 0 0 60000
accelerator_pct B 1 0 0 100
brake_pct B 1 0 0 100 on=101
]] },
  { 0x02, "motors", [[
= 01
items.number B 1 0 1 253
items.state B 1=consuming 2=generating 3=off 4=ready
items.controller_temperature_c B 1 -40 0 250
items.speed_rpm W 1 -20000 0 65531
items.torque_nm W 0.1 -2000 0 65531
items.temperature_c B 1 -40 0 250
items.voltage_v W 0.1 0 0 60000
items.current_a W 0.1 -1000 0 20000
]] },
  { 0x03, "fuel_cell", [[
voltage_v W 0.1 0 0 20000
current_a W 0.1 0 0 20000
consumption_kg_100km W 0.01 0 0 60000
= 0001
temperatures_c[] B 1 -40 0 240
hydrogen_max_temperature_c W 0.1 -40 0 2400
hydrogen_max_temperature_probe B 1 0 1 252
hydrogen_max_concentration_mg_kg W 1 0 0 60000
hydrogen_max_concentration_sensor B 1 0 - -
hydrogen_max_pressure_mpa W 0.1 0 0 1000
hydrogen_max_pressure_sensor B 1 0 - -
dcdc B 1=working 2=open
]] },
  { 0x04, "engine", [[
state B 1=running 2=off
crankshaft_rpm W 1 0 0 60000
consumption_l_100km W 0.01 0 0 60000
]] },
  { 0x05, "position", [[
= 00
longitude D 0.000001 0 0 180000000
latitude D 0.000001 0 0 90000000
]] },
  { 0x06, "extremes", [[
max_voltage_subsystem B 1 0 1 250
max_voltage_cell B 1 0 1 250
max_voltage_v W 0.001 0 0 15000
min_voltage_subsystem B 1 0 1 250
min_voltage_cell B 1 0 1 250
min_voltage_v W 0.001 0 0 15000
max_temperature_subsystem B 1 0 1 250
max_temperature_probe B 1 0 1 250
max_temperature_c B 1 -40 0 250
min_temperature_subsystem B 1 0 1 250
min_temperature_probe B 1 0 1 250
min_temperature_c B 1 -40 0 250
]] },
  { 0x07, "alarm", "level B 1 0 0 3\n= 0000000000000000" },
  { 0x08, "storage_voltages", [[
= 01
items.number B 1 0 1 250
items.voltage_v W 0.1 0 0 10000
items.current_a W 0.1 -1000 0 20000
= 0001000101
items.cell_voltages_v[] W 0.001 0 0 60000
]] },
  { 0x09, "storage_temperatures", [[
= 01
items.number B 1 0 1 250
= 0001
items.temperatures_c[] B 1 -40 0 250
]] },
}

M.BLOCKS[2025] = {
  { 0x01, "vehicle", STATE .. [[
speed_kmh W 0.1 0 0 5000
mileage_km D 0.1 0 0 9999999
voltage_v W 0.1 0 0 60000
current_a W 0.1 -3000 0 60000
soc_pct B 1 0 0 100
dcdc B 1=working 2=open
= 0e
insulation_kohm W 1 0 0 60000
]] },
  { 0x02, "motors", [[
= 01
items.number B 1 0 1 253
items.state B 1=consuming 2=generating 3=off 4=ready
items.controller_temperature_c B 1 -40 0 250
items.speed_rpm W 1 -32000 0 65531
items.torque_nm D 0.1 -20000 0 400000
items.temperature_c B 1 -40 0 250
]] },
  { 0x03, "fuel_cell", [[
hydrogen_max_temperature_c W 1 -40 0 250
hydrogen_max_temperature_probe B 1 0 1 253
hydrogen_max_concentration_pct W 0.0001 0 0 60000
hydrogen_max_concentration_sensor B 1 0 - -
hydrogen_max_pressure_mpa W 0.1 0 0 1000
hydrogen_max_pressure_sensor B 1 0 - -
dcdc B 1=working 2=open
hydrogen_remaining_pct B 1 0 0 100
dcdc_temperature_c B 1 -40 0 250
]] },
  { 0x04, "engine", "crankshaft_rpm W 1 0 0 60000" },
  { 0x05, "position", [[
= 0001
longitude D 0.000001 0 0 180000000
latitude D 0.000001 0 0 90000000
]] },
  { 0x06, "alarm", "level B 1 0 0 4\n= 000000000000000000" },
  { 0x07, "pack_voltages", [[
= 01
items.number B 1 0 1 50
items.voltage_v W 0.1 0 0 60000
items.current_a W 0.1 -3000 0 60000
= 0001
items.unit_voltages_v[] W 0.001 0 0 60000
]] },
  { 0x08, "pack_temperatures", [[
= 01
items.number B 1 0 1 50
= 0001
items.temperatures_c[] B 1 -40 0 250
]] },
  { 0x30, "fuel_cell_stacks", [[
= 01
items.number B 1 0 1 253
items.voltage_v W 0.1 0 0 20000
items.current_a W 0.1 0 0 20000
items.hydrogen_inlet_kpa W 0.1 -100 0 5000
items.air_inlet_kpa W 0.1 -100 0 5000
items.air_inlet_temperature_c B 1 -40 0 250
= 0001
items.coolant_temperatures_c[] B 1 -40 0 250
]] },
  { 0x31, "super_capacitor", [[
number B 1 0 1 253
voltage_v W 0.1 0 0 10000
current_a W 0.1 -3000 0 60000
= 0001
cell_voltages_v[] W 0.001 0 0 60000
= 0001
temperatures_c[] B 1 -40 0 250
]] },
  { 0x32, "super_capacitor_extremes", [[
max_voltage_system B 1 0 - -
max_voltage_cell W 1 0 - -
max_voltage_v W 0.001 0 0 60000
min_voltage_system B 1 0 - -
min_voltage_cell W 1 0 - -
min_voltage_v W 0.001 0 0 60000
max_temperature_system B 1 0 - -
max_temperature_probe W 1 0 - -
max_temperature_c B 1 -40 0 250
min_temperature_system B 1 0 - -
min_temperature_probe W 1 0 - -
min_temperature_c B 1 -40 0 250
]] },
}

-- From bit 0 up.
M.ALARMS = {
  "temperature_difference", "battery_hot", "storage_overvoltage", "storage_undervoltage",
  "soc_low", "cell_overvoltage", "cell_undervoltage", "soc_high", "soc_jump", "storage_mismatch",
  "cell_consistency", "insulation", "dcdc_temperature", "brake_system", "dcdc_state",
  "motor_controller_temperature", "high_voltage_interlock", "motor_temperature",
  "storage_overcharge", -- 19 and up: 2025 alone
  "motor_overspeed", "motor_overcurrent", "capacitor_hot", "capacitor_overvoltage",
  "storage_thermal_event", "hydrogen_leak", "hydrogen_pressure", "hydrogen_temperature",
  "stack_hot",
}
M.NAMED = { [2016] = 19, [2025] = 28 }

return M
