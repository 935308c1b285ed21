//! Headers of the controller (5.x automatic fail-over).

use super::headers;

headers! {
    /// Java: `NotifyBrokerRoleChangedRequestHeader`, request 1008.
    NotifyBrokerRoleChangedRequestHeader [request NOTIFY_BROKER_ROLE_CHANGED => ()] {
        master_address b"masterAddress": optional text,
        master_epoch b"masterEpoch": optional int,
        sync_state_set_epoch b"syncStateSetEpoch": optional int,
        master_broker_id b"masterBrokerId": optional long,
    }

    /// Java: `AlterSyncStateSetRequestHeader`, request 1001.
    AlterSyncStateSetRequestHeader [request CONTROLLER_ALTER_SYNC_STATE_SET => AlterSyncStateSetResponseHeader] {
        broker_name b"brokerName": optional text,
        master_broker_id b"masterBrokerId": optional long,
        master_epoch b"masterEpoch": optional int,
        invoke_time b"invokeTime": default long = 0,
    }

    /// Java: `AlterSyncStateSetResponseHeader`.
    AlterSyncStateSetResponseHeader [response] {
        new_sync_state_set_epoch b"newSyncStateSetEpoch": default int = 0,
    }

    /// Java: `ElectMasterRequestHeader`, request 1002.
    ElectMasterRequestHeader [request CONTROLLER_ELECT_MASTER => ElectMasterResponseHeader] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
        broker_id b"brokerId": optional long,
        designate_elect b"designateElect": optional bool,
        invoke_time b"invokeTime": optional long,
    }

    /// Java: `ElectMasterResponseHeader`.
    ElectMasterResponseHeader [response] {
        master_broker_id b"masterBrokerId": optional long,
        master_address b"masterAddress": optional text,
        master_epoch b"masterEpoch": optional int,
        sync_state_set_epoch b"syncStateSetEpoch": optional int,
    }

    /// Java: `GetMetaDataResponseHeader`.
    GetMetaDataResponseHeader [response] {
        group b"group": optional text,
        controller_leader_id b"controllerLeaderId": optional text,
        controller_leader_address b"controllerLeaderAddress": optional text,
        is_leader b"isLeader": default bool = false,
        peers b"peers": optional text,
    }

    /// Java: `GetReplicaInfoRequestHeader`, request 1004.
    GetReplicaInfoRequestHeader [request CONTROLLER_GET_REPLICA_INFO => GetReplicaInfoResponseHeader] {
        broker_name b"brokerName": optional text,
    }

    /// Java: `GetReplicaInfoResponseHeader`.
    GetReplicaInfoResponseHeader [response] {
        master_broker_id b"masterBrokerId": optional long,
        master_address b"masterAddress": optional text,
        master_epoch b"masterEpoch": optional int,
    }

    /// Java: `CleanControllerBrokerDataRequestHeader`, request 1011.
    CleanControllerBrokerDataRequestHeader [request CLEAN_BROKER_DATA => ()] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": required text,
        broker_controller_ids_to_clean b"brokerControllerIdsToClean": optional text,
        is_clean_living_broker b"isCleanLivingBroker": default bool = false,
        invoke_time b"invokeTime": default long = 0,
    }

    /// Java: `ApplyBrokerIdRequestHeader`, request 1013.
    ApplyBrokerIdRequestHeader [request CONTROLLER_APPLY_BROKER_ID => ApplyBrokerIdResponseHeader] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
        applied_broker_id b"appliedBrokerId": optional long,
        register_check_code b"registerCheckCode": optional text,
    }

    /// Java: `ApplyBrokerIdResponseHeader`.
    ApplyBrokerIdResponseHeader [response] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
    }

    /// Java: `GetNextBrokerIdRequestHeader`, request 1012.
    GetNextBrokerIdRequestHeader [request CONTROLLER_GET_NEXT_BROKER_ID => GetNextBrokerIdResponseHeader] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
    }

    /// Java: `GetNextBrokerIdResponseHeader`.
    GetNextBrokerIdResponseHeader [response] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
        next_broker_id b"nextBrokerId": optional long,
    }

    /// Java: `RegisterBrokerToControllerRequestHeader`, request 1003.
    RegisterBrokerToControllerRequestHeader [request CONTROLLER_REGISTER_BROKER => RegisterBrokerToControllerResponseHeader] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
        broker_id b"brokerId": optional long,
        broker_address b"brokerAddress": optional text,
        invoke_time b"invokeTime": default long = 0,
    }

    /// Java: `RegisterBrokerToControllerResponseHeader`.
    RegisterBrokerToControllerResponseHeader [response] {
        cluster_name b"clusterName": optional text,
        broker_name b"brokerName": optional text,
        master_broker_id b"masterBrokerId": optional long,
        master_address b"masterAddress": optional text,
        master_epoch b"masterEpoch": optional int,
        sync_state_set_epoch b"syncStateSetEpoch": optional int,
    }
}
