-- SPDX-License-Identifier: Apache-2.0
-- Names of members here and in EMQX's JSON.
local parameters = require "parameters"

local M = {}

M.suffixes = {
  login = "upstream/vlogin", report = "upstream/info", reissue = "upstream/reinfo",
  logout = "upstream/vlogout", platform_login = "upstream/plogin",
  platform_logout = "upstream/plogout", activation = "upstream/activation",
  parameters = "upstream/response", control = "upstream/response",
  key_exchange = "upstream/transparent", raw = "upstream/transparent",
}

M.types = {
  vehicle = "Vehicle", motors = "DriveMotor", fuel_cell = "FuelCell", engine = "Engine",
  position = "Location", extremes = "Extreme", alarm = "Alarm",
  storage_voltages = "ChargeableVoltage", storage_temperatures = "ChargeableTemp",
  pack_voltages = "MinVoltageOfPowerBattery", pack_temperatures = "TempOfPowerBattery",
  fuel_cell_stacks = "FuelCellStack", super_capacitor = "SuperCapacitor",
  super_capacitor_extremes = "SuperCapacitorExtreme", signature = "Signature",
}

M.algorithms = { SM2 = 1, RSA = 2, ECC = 3 }
M.signature = { algorithm = "SignatureType" }

M.vehicle = {
  state = "Status", charging = "Charging", mode = "Mode", speed_kmh = "Speed",
  mileage_km = "Mileage", voltage_v = "Voltage", current_a = "Current", soc_pct = "SOC",
  dcdc = "DC", gear = "Gear", insulation_kohm = "Resistance",
  accelerator_pct = "AcceleratorPedal", brake_pct = "BrakePedal",
}
M.motors = { count = "Number", items = { "Motors", {
  number = "No", state = "Status", controller_temperature_c = "CtrlTemp", speed_rpm = "Rotating",
  torque_nm = "Torque", temperature_c = "MotorTemp", voltage_v = "InputVoltage",
  current_a = "DCBusCurrent",
} } }
M.fuel_cell = {
  voltage_v = "CellVoltage", current_a = "CellCurrent", consumption_kg_100km = "FuelConsumption",
  probe_count = "ProbeNum", temperatures_c = { "ProbeTemps" },
  hydrogen_max_temperature_c = "H_MaxTemp", hydrogen_max_temperature_probe = "H_TempProbeCode",
  hydrogen_max_concentration_mg_kg = "H_MaxConc", hydrogen_max_concentration_pct = "H_MaxConc",
  hydrogen_max_concentration_sensor = "H_ConcSensorCode", hydrogen_max_pressure_mpa = "H_MaxPress",
  hydrogen_max_pressure_sensor = "H_PressSensorCode", dcdc = "DCStatus",
  hydrogen_remaining_pct = "RemainingH2", dcdc_temperature_c = "DCDCTemp",
}
M.engine = {
  state = "Status", crankshaft_rpm = "CrankshaftSpeed", consumption_l_100km = "FuelConsumption",
}
M.position = {
  status = "Status", datum = "CoordinateSystem", longitude = "Longitude", latitude = "Latitude",
}
M.extremes = {
  max_voltage_subsystem = "MaxVoltageBatterySubsysNo", max_voltage_cell = "MaxVoltageBatteryCode",
  max_voltage_v = "MaxBatteryVoltage", min_voltage_subsystem = "MinVoltageBatterySubsysNo",
  min_voltage_cell = "MinVoltageBatteryCode", min_voltage_v = "MinBatteryVoltage",
  max_temperature_subsystem = "MaxTempSubsysNo", max_temperature_probe = "MaxTempProbeNo",
  max_temperature_c = "MaxTemp", min_temperature_subsystem = "MinTempSubsysNo",
  min_temperature_probe = "MinTempProbeNo", min_temperature_c = "MinTemp",
}
M.alarm = {
  level = "MaxAlarmLevel", flags = "GeneralAlarmFlag",
  storage_fault_count = "FaultChargeableDeviceNum",
  storage_faults = { "FaultChargeableDeviceList", "hex" },
  motor_fault_count = "FaultDriveMotorNum", motor_faults = { "FaultDriveMotorList", "hex" },
  engine_fault_count = "FaultEngineNum", engine_faults = { "FaultEngineList", "hex" },
  other_fault_count = "FaultOthersNum", other_faults = { "FaultOthersList", "hex" },
  general_fault_count = "FaultGeneralNum",
  general_faults = { "FaultGeneralList", { bit = "No", level = "Level" } },
}
M.storage_voltages = { count = "Number", items = { "SubSystems", {
  number = "ChargeableSubsysNo", voltage_v = "ChargeableVoltage", current_a = "ChargeableCurrent",
  cells_total = "CellsTotal", first_cell = "FrameCellsIndex", cell_count = "FrameCellsCount",
  cell_voltages_v = { "CellsVoltage" },
} } }
M.storage_temperatures = { count = "Number", items = { "SubSystems", {
  number = "ChargeableSubsysNo", probe_count = "ProbeNum", temperatures_c = { "ProbesTemp" },
} } }
M.pack_voltages = { count = "Number", items = { "SubSystems", {
  number = "BatteryPackNo", voltage_v = "BatteryPackVoltage", current_a = "BatteryPackCurrent",
  unit_count = "MinParallelUnitTotal", unit_voltages_v = { "MinParallelUnitVoltage" },
} } }
M.pack_temperatures = { count = "Number", items = { "SubSystems", {
  number = "BatteryPackNo", probe_count = "ProbeNum", temperatures_c = { "ProbesTemp" },
} } }
M.fuel_cell_stacks = { count = "Number", items = { "Stacks", {
  number = "FuelCellStackNo", voltage_v = "Voltage", current_a = "Current",
  hydrogen_inlet_kpa = "H2InletPressure", air_inlet_kpa = "AirInletPressure",
  air_inlet_temperature_c = "AirInletTemp", probe_count = "StackProbeNum",
  coolant_temperatures_c = { "StackProbeTemp" },
} } }
M.super_capacitor = {
  number = "ManagerSysNo", voltage_v = "TotalVoltage", current_a = "TotalCurrent",
  cell_count = "CellsTotal", cell_voltages_v = { "CellsVoltage" }, probe_count = "ProbeNum",
  temperatures_c = { "ProbeTemp" },
}
M.super_capacitor_extremes = {
  max_voltage_system = "MaxVoltageManagerSysNo", max_voltage_cell = "MaxVoltageCellCode",
  max_voltage_v = "MaxVoltageCellValue", min_voltage_system = "MinVoltageManagerSysNo",
  min_voltage_cell = "MinVoltageCellCode", min_voltage_v = "MinVoltageCellValue",
  max_temperature_system = "MaxTempManagerSysNo", max_temperature_probe = "MaxTempProbeCode",
  max_temperature_c = "MaxTempValue", min_temperature_system = "MinTempManagerSysNo",
  min_temperature_probe = "MinTempProbeCode", min_temperature_c = "MinTempValue",
}

M.upgrade = {
  apn = "DialingName", user = "Username", password = "Password", address = "Ip", port = "Port",
  manufacturer = "ManufacturerId", hardware_version = "HardwareVer",
  firmware_version = "SoftwareVer", url = "UpgradeUrl", time_limit_min = "Timeout",
}

M.parameter = parameters.name

return M
